// Files that are read whole, and files that are put in the place of others.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet {

// Of `errno`: "PATH: why". Errc::kNoEntry, kNoSpace, or kIo.
Error FileError(const std::string& path);

// Errors begin with `path`; Errc::kNoEntry: there is no such file.
Result<std::string> ReadTextFile(const std::string& path);

// A plain file that belongs to this user (or to root) and that no other user may write.
Status CheckOwner(const std::string& path, const struct stat& info);

// What nobody else may have written: a plain file, not a symbolic link, that belongs to this user
// (or to root) and that no other user may write. An error says what is wrong with it.
Result<std::string> ReadOwnFile(const std::string& path);

// Writes `PATH.new` to the disk, then gives it the name. The file, open for reading and
// writing, mode 0600, with an flock of its own. On an error the old one is as it was.
Result<UniqueFd> ReplaceFile(const std::string& path, std::span<const uint8_t> bytes);

// Whether files may be made in the folder of `path`, and it, if it is there, may be written: asked
// without leaving anything behind.
Status CheckWritable(const std::string& path);

}  // namespace cygnet
