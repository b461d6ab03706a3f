#include "encoding/text_file.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

namespace ft::encoding {
namespace {

namespace fs = std::filesystem;

const char* kind_of(fs::file_type type) {
  if (type == fs::file_type::directory) return "a folder";
  if (type == fs::file_type::fifo) return "a FIFO (a pipe)";
  if (type == fs::file_type::socket) return "a socket";
  return "a device";
}

}  // namespace

bool is_there(const std::string& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

EncodingResult<std::string> read_file(const std::string& path, int64_t max_bytes) {
  const auto refuse = [&](ErrorKind kind, const std::string& problem) {
    return fail(kind, fmt::format("{}: {}", path, problem));
  };
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    return refuse(ErrorKind::kFileNotFound, is_there(path)
                                                ? fmt::format("a link to {}, which is not there",
                                                              fs::read_symlink(path, error).string())
                                                : "no such file");
  }
  if (error) return refuse(ErrorKind::kInvalidFile, error.message());
  if (status.type() != fs::file_type::regular) {
    return refuse(ErrorKind::kInvalidFile,
                  fmt::format("is {}, expected a regular file", kind_of(status.type())));
  }
  const uintmax_t size = fs::file_size(path, error);
  if (error) return refuse(ErrorKind::kInvalidFile, error.message());
  if (size > static_cast<uintmax_t>(max_bytes)) {
    return refuse(ErrorKind::kInvalidFile, fmt::format("{} bytes; at most {} are expected", size, max_bytes));
  }
  std::string bytes(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file) return refuse(ErrorKind::kInvalidFile, "cannot be opened");
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) {
    return refuse(ErrorKind::kInvalidFile, fmt::format("cannot read {} bytes", size));
  }
  return bytes;
}

}  // namespace ft::encoding
