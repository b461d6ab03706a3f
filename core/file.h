// Reading files that others made. What kind of thing lies at a path and how large it is are checked before
// anything is read, so that no folder, pipe, device or endless file can stop the caller.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"

namespace ft {

// A descriptor that is closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : number_(other.number_) { other.number_ = -1; }
  Descriptor& operator=(Descriptor&&) = delete;

  int number() const { return number_; }

 private:
  int number_;
};

struct OpenFile {
  Descriptor descriptor;
  struct stat status;
};

// Opens a regular file for reading. kNotFound where nothing is at `path` or a link leads nowhere;
// kInvalidFile for a folder, FIFO, socket or device, which the message names, and for what may not be read.
Result<OpenFile> open_regular_file(const std::string& path);

// The bytes of a regular file. As above, and kInvalidFile for more than `max_bytes`.
Result<std::string> read_file(const std::string& path, int64_t max_bytes);

// Makes `text` the content of the file, whole or not at all: it is written under a name of its own in the
// same folder and renamed. What the file system refuses is kInvalidFile.
Result<void> replace_file(const std::string& path, std::string_view text);

}  // namespace ft
