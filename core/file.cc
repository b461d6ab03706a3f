#include "core/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace ft {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;

std::string reason_text(int reason) {
  return std::generic_category().message(reason);
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO (a pipe)";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

tl::unexpected<Error> cannot_open(const std::string& path, int reason) {
  if (reason != ENOENT) return fail(ErrorCode::kInvalidFile, "{}: {}", path, reason_text(reason));
  struct stat link {};
  if (lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode)) {
    std::string target(4096, '\0');
    const ssize_t size = readlink(path.c_str(), target.data(), target.size());
    target.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
    return fail(ErrorCode::kNotFound, "{}: a link to {}, which is not there", path, target);
  }
  return fail(ErrorCode::kNotFound, "{}: no such file", path);
}

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) close(number_);
}

Result<OpenFile> open_regular_file(const std::string& path) {
  // Looked at before it is opened: opening a device can have effects of its own.
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return cannot_open(path, errno);
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::kInvalidFile, "{}: is {}, expected a regular file", path, kind_of(status.st_mode));
  }
  // And again once it is open, when nobody can exchange it any more. O_NONBLOCK: a pipe that has come between
  // must not make us wait for its writer.
  Descriptor descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor.number() < 0) return cannot_open(path, errno);
  if (fstat(descriptor.number(), &status) != 0) return cannot_open(path, errno);
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::kInvalidFile, "{}: is {}, expected a regular file", path, kind_of(status.st_mode));
  }
  return OpenFile{std::move(descriptor), status};
}

Result<std::string> read_file(const std::string& path, int64_t max_bytes) {
  const auto file = open_regular_file(path);
  if (!file) return tl::make_unexpected(file.error());
  const auto too_long = [&](int64_t bytes) {
    return fail(ErrorCode::kInvalidFile, "{}: {} bytes; at most {} are expected", path, bytes, max_bytes);
  };
  if (file->status.st_size > max_bytes) return too_long(file->status.st_size);
  // Read to its end rather than to its size: files of /proc have none, and others may grow meanwhile.
  std::string text;
  for (;;) {
    const size_t old = text.size();
    text.resize(old + kPieceBytes);
    const ssize_t size = read(file->descriptor.number(), text.data() + old, kPieceBytes);
    const int reason = errno;
    text.resize(old + static_cast<size_t>(std::max<ssize_t>(size, 0)));
    if (size < 0 && reason == EINTR) continue;
    if (size < 0) return fail(ErrorCode::kInvalidFile, "{}: {}", path, reason_text(reason));
    if (static_cast<int64_t>(text.size()) > max_bytes) return too_long(static_cast<int64_t>(text.size()));
    if (size == 0) return text;
  }
}

Result<void> replace_file(const std::string& path, std::string_view text) {
  std::string partial = path + ".XXXXXX";
  int reason = 0;
  {
    const Descriptor descriptor(mkostemp(partial.data(), O_CLOEXEC));
    if (descriptor.number() < 0) {
      return fail(ErrorCode::kInvalidFile, "{}: cannot be written: {}", path, reason_text(errno));
    }
    while (!text.empty() && reason == 0) {
      const ssize_t written = write(descriptor.number(), text.data(), text.size());
      if (written >= 0) text.remove_prefix(static_cast<size_t>(written));
      if (written < 0 && errno != EINTR) reason = errno;
    }
  }
  if (reason == 0 && rename(partial.c_str(), path.c_str()) != 0) reason = errno;
  if (reason == 0) return {};
  unlink(partial.c_str());
  return fail(ErrorCode::kInvalidFile, "{}: cannot be written: {}", path, reason_text(reason));
}

}  // namespace ft
