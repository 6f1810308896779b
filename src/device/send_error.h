// Why a frame could not be sent, by the errno of a socket or of a TAP.
#pragma once

#include <cerrno>

#include "packet/drop_reason.h"

namespace cygnet {

inline DropReason SendErrorReason(int error) {
  switch (error) {
    case EBADFD:  // a TAP that was removed
    case EIO:     // a TAP that is not up
    case ENETDOWN:
    case ENXIO:
    case ENODEV:
      return DropReason::kPortDown;
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
      return DropReason::kPortFull;
    default:
      return DropReason::kPortRefused;
  }
}

}  // namespace cygnet
