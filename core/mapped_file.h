// A file mapped into memory, and what becomes of it on disk meanwhile. A mapping shows later writes to its
// file, and reading beyond the end of one that has shrunk is a bus error; so a file that is in use may be
// replaced (written elsewhere and renamed over) or deleted, but not written.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/error.h"

namespace ft {

// What has happened to a file since it was mapped.
enum class FileChange {
  kNone,
  kReplaced,  // another file, or none, is at the path now; the mapping keeps the old one
  kTouched,   // only its status changed (owner, mode, links); a write with the old time set again looks alike
  kWritten,   // its length or modification time changed: the mapping shows other bytes, or ends too early
};

class MappedFile {
 public:
  // Maps the whole file read-only. Errors are those of open_regular_file, and kInvalidFile where it cannot be
  // mapped.
  static Result<std::unique_ptr<MappedFile>> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Asks the system to read the whole file, or these bytes of it, ahead.
  void prefetch() const { prefetch(bytes()); }
  void prefetch(std::span<const std::byte> part) const;
  // Says that these bytes, which have been copied, are not needed soon: they no longer count as memory of the process.
  void release(std::span<const std::byte> part) const;
  // Looks at the path: one system call. Any thread.
  FileChange change() const;

 private:
  MappedFile() = default;

  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  struct stat status_ {};
  int slot_ = -1;  // in the table of mappings that the handler below reads
};

// From now on, a bus error at an address in a mapped file ends the process with `exit_code`, after one line
// on stderr that begins with `program` and names the file. Other bus errors end it as before. Call once.
void report_lost_mappings(const char* program, int exit_code);

}  // namespace ft
