// NumberStore: keeps which numbers of an SA may have been used, outside of this process. Two rules
// follow from it, whatever crashes when:
//   I1  An outbound number is used only from a block that the store gave to exactly this start of
//       the process.
//   I2  An inbound number is accepted only up to a mark that was stored before, and only by who
//       raised the mark that far. Whoever finds another mark than its own begins behind it, so no
//       number is accepted twice.
// An answer that is lost, or that is kAgain, gives nothing: the caller asks again, and the numbers
// of the lost block stay a gap.
//
// Calls are synchronous: what they return is stored. A back-end that needs longer may answer kAgain
// and ring a bell when the next call finds the answer. Control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "control/numbers/number_identity.h"
#include "sa/number_block.h"

namespace cygnet {

struct InboundMark {
  uint64_t mark = 0;  // now
  bool raised = false;
};

class NumberStore {
 public:
  virtual ~NumberStore() = default;

  // The names of an SA, and its mask. An SA that the store knows gets those it had. It forgets
  // nothing until the next call.
  virtual Result<NumberIdentity> Identify(const SaSpec& spec) = 0;
  // The SA lives until Release, once for each. What an SA had stays known after it, until others
  // need the room.
  virtual void Retain(const NumberIdentity& identity) = 0;
  virtual void Release(const NumberIdentity& identity) = 0;

  // `count` numbers that nobody has got, all above `after`; fewer at the end of 64 bits, and
  // Errc::kRange behind it.
  virtual Result<NumberBlock> Outbound(const NumberId& id, uint64_t after, uint64_t count) = 0;
  // Raises the mark from `from` to `up_to`; 0: there is none yet. If the mark is another one, it
  // stays: somebody else may have accepted numbers up to there.
  virtual Result<InboundMark> Inbound(const NumberId& id, uint64_t from, uint64_t up_to) = 0;

  // Give back what was not used and never will be: `last` is the last one given, or the mark. They
  // have no effect if somebody else got numbers since.
  virtual Status ReturnOutbound(const NumberId& id, uint64_t used, uint64_t last) = 0;
  virtual Status LowerInbound(const NumberId& id, uint64_t mark, uint64_t last) = 0;

  // Runs `steps`, which call the functions above, as one step: all of it is stored, or nothing. One
  // wait for the disk instead of many. A store that others change, too, may run them again: they
  // set all of their results each time. kPermission: another node owns the group of an SA.
  virtual Status Together(const std::function<Status()>& steps) = 0;

  // False: inbound numbers are not reserved, because the SA's cell has what was accepted
  // (NumberCells). The mark is written when the SA ends.
  virtual bool reserves_inbound() const { return true; }

  // Why it gives nothing at present; empty: it works.
  virtual std::string fault() const = 0;
};

}  // namespace cygnet
