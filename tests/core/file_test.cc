#include "core/file.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/temp_dir.h"

namespace ft {
namespace {

void expect_refused(const std::string& path, ErrorCode code, const std::string& fragment) {
  const auto text = read_file(path, 100);
  ASSERT_FALSE(text) << path;
  EXPECT_EQ(text.error().code, code) << text.error().message;
  EXPECT_NE(text.error().message.find(path + ": "), std::string::npos) << text.error().message;
  EXPECT_NE(text.error().message.find(fragment), std::string::npos) << text.error().message;
}

TEST(ReadFile, ReturnsTheBytes) {
  TempDir dir;
  const std::string bytes("a\0b\r\n\xff", 6);
  EXPECT_EQ(*read_file(dir.write("x", bytes), 6), bytes);
  EXPECT_EQ(*read_file(dir.write("empty", ""), 0), "");
  std::filesystem::create_symlink("x", dir.file("link"));
  EXPECT_EQ(*read_file(dir.file("link"), 6), bytes);
  EXPECT_FALSE(read_file("/proc/self/status", 1 << 20)->empty());  // says that it has 0 bytes
}

TEST(ReadFile, NamesWhatIsNoFile) {
  TempDir dir;
  expect_refused(dir.file("absent"), ErrorCode::kNotFound, "no such file");
  expect_refused(dir.path(), ErrorCode::kInvalidFile, "is a folder");
  ASSERT_EQ(mkfifo(dir.file("pipe").c_str(), 0600), 0);
  expect_refused(dir.file("pipe"), ErrorCode::kInvalidFile, "is a FIFO");
  expect_refused("/dev/zero", ErrorCode::kInvalidFile, "is a device");
  std::filesystem::create_symlink("nowhere", dir.file("dangling"));
  expect_refused(dir.file("dangling"), ErrorCode::kNotFound, "a link to nowhere, which is not there");
  std::filesystem::create_symlink("loop", dir.file("loop"));
  expect_refused(dir.file("loop"), ErrorCode::kInvalidFile, "symbolic links");
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{AF_UNIX, {}};
  dir.file("socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  expect_refused(dir.file("socket"), ErrorCode::kInvalidFile, "is a socket");
  close(socket);
}

TEST(ReadFile, StopsAtItsLimit) {
  TempDir dir;
  dir.write("x", std::string(101, 'x'));
  expect_refused(dir.file("x"), ErrorCode::kInvalidFile, "101 bytes; at most 100 are expected");
  // 64 GiB that take no room.
  std::filesystem::resize_file(dir.file("x"), uintmax_t{1} << 36);
  expect_refused(dir.file("x"), ErrorCode::kInvalidFile, "at most 100");
  // One that says nothing of its size.
  expect_refused("/proc/self/status", ErrorCode::kInvalidFile, "at most 100");
}

}  // namespace
}  // namespace ft
