#include "core/mapped_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace ft {
namespace {

namespace fs = std::filesystem;

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// Lets time go on, which file systems count in ticks of several milliseconds.
void write_later(const std::string& path, const std::string& bytes) {
  const auto old = fs::last_write_time(path);
  do {
    std::ofstream(path, std::ios::in | std::ios::out | std::ios::binary) << bytes;
  } while (fs::last_write_time(path) == old);
}

TEST(MappedFile, ShowsTheBytes) {
  TempDir dir;
  const auto file = MappedFile::open(dir.write("x", "bytes"));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(text_of(**file), "bytes");
  EXPECT_EQ((*file)->path(), dir.file("x"));
  EXPECT_EQ((*file)->change(), FileChange::kNone);
  const auto empty = MappedFile::open(dir.write("empty", ""));
  ASSERT_TRUE(empty) << empty.error().message;
  EXPECT_TRUE((*empty)->bytes().empty());
  EXPECT_FALSE(MappedFile::open(dir.path()));
}

TEST(MappedFile, TellsWritesFromReplacements) {
  TempDir dir;
  const std::string path = dir.write("x", "bytes");
  const auto open = [&] { return std::move(*MappedFile::open(path)); };
  auto file = open();
  write_later(path, "other");
  EXPECT_EQ(file->change(), FileChange::kWritten);
  file = open();
  fs::resize_file(path, 2);
  EXPECT_EQ(file->change(), FileChange::kWritten);
  file = open();
  do {
    chmod(path.c_str(), 0640);
  } while (file->change() == FileChange::kNone);
  EXPECT_EQ(file->change(), FileChange::kTouched);
  // As rsync --inplace --times writes: other bytes, the old time.
  file = open();
  const auto time = fs::last_write_time(path);
  write_later(path, "ab");
  fs::last_write_time(path, time);
  EXPECT_EQ(file->change(), FileChange::kTouched);
  file = open();
  dir.write("new", "ne");
  fs::rename(dir.file("new"), path);
  EXPECT_EQ(file->change(), FileChange::kReplaced);
  EXPECT_EQ(text_of(*file), "ab");
  file = open();
  fs::remove(path);
  EXPECT_EQ(file->change(), FileChange::kReplaced);
  EXPECT_EQ(text_of(*file), "ne");
}

int sum(std::span<const std::byte> bytes) {
  int total = 0;
  for (const std::byte byte : bytes) total += static_cast<int>(byte);
  return total;
}

TEST(LostMappingDeathTest, ABusErrorNamesTheFile) {
  TempDir dir;
  const std::string path = dir.write("x", std::string(1 << 20, 'x'));
  const auto other = MappedFile::open(dir.write("y", std::string(1 << 20, 'y')));
  const auto file = MappedFile::open(path);
  fs::resize_file(path, 0);
  EXPECT_EXIT(
      {
        report_lost_mappings("a-program", 7);
        exit(sum((*file)->bytes()) == 0 ? 0 : 1);
      },
      ::testing::ExitedWithCode(7), "^a-program: .*/x: cannot be read any more");
}

TEST(LostMappingDeathTest, OtherBusErrorsEndTheProcessAsBefore) {
  TempDir dir;
  const std::string path = dir.write("x", std::string(1 << 20, 'x'));
  EXPECT_EXIT(
      {
        report_lost_mappings("a-program", 7);
        auto file = MappedFile::open(path);
        const auto bytes = (*file)->bytes();
        file->reset();  // the mapping, and with it the name, is gone
        const int descriptor = ::open(path.c_str(), 0);
        void* again = mmap(const_cast<std::byte*>(bytes.data()), bytes.size(), PROT_READ,
                           MAP_PRIVATE | MAP_FIXED, descriptor, 0);
        fs::resize_file(path, 0);
        exit(sum({static_cast<const std::byte*>(again), bytes.size()}) == 0 ? 0 : 1);
      },
      ::testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace ft
