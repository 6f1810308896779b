// Reads whole files and replaces files atomically.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet {

// An error from `errno`: "PATH: why". Its code is kNoEntry, kNoSpace or kIo.
Error FileError(const std::string& path);

// Reads the whole file. Error messages begin with `path`; Errc::kNoEntry if the file does not
// exist.
Result<std::string> ReadTextFile(const std::string& path);

// Accepts only a regular file that belongs to this user or root and that no other user may write.
Status CheckOwner(const std::string& path, const struct stat& info);

// Reads a file that nobody else can have written: a regular file, not a symbolic link, that passes
// CheckOwner. The error says what is wrong with the file.
Result<std::string> ReadOwnFile(const std::string& path);

// Writes `PATH.new` to disk, then renames it to `path`. Returns the file open for reading and
// writing, with mode 0600 and its own flock. On an error the old file is unchanged.
Result<UniqueFd> ReplaceFile(const std::string& path, std::span<const uint8_t> bytes);

// Checks that files can be created in the folder of `path`, and that `path` is writable if it
// exists. Leaves nothing behind.
Status CheckWritable(const std::string& path);

}  // namespace cygnet
