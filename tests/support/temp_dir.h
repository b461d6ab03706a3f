// A directory of its own for one test, removed with everything in it.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "core/check.h"

namespace ft {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "foretoken-test-XXXXXX").string();
    FT_CHECK(mkdtemp(pattern.data()) != nullptr, pattern);
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  // The path of an entry of that name, existing or not.
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }
  // Writes `content` under `name`; returns its path.
  std::string write(std::string_view name, std::string_view content) const {
    std::ofstream stream(file(name), std::ios::binary);
    stream.write(content.data(), static_cast<std::streamsize>(content.size()));
    FT_CHECK(stream.good(), name);
    return file(name);
  }

 private:
  std::string path_;
};

// The bytes of a file that must exist.
inline std::string file_bytes(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  FT_CHECK(stream.good(), path);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

}  // namespace ft
