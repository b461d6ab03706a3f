#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/safetensors.h"
#include "tests/fuzz/fuzz_targets.h"

namespace ft::fuzz {
namespace {

// A file that is nowhere on disk.
class MemoryFile {
 public:
  explicit MemoryFile(std::span<const uint8_t> bytes)
      : descriptor_(::memfd_create("safetensors", MFD_CLOEXEC)) {
    FT_CHECK(descriptor_ >= 0);
    FT_CHECK(::write(descriptor_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

std::vector<uint8_t> file_of(std::span<const uint8_t> input) {
  if (!input.empty() && input[0] == 0) return {input.begin() + 1, input.end()};
  const auto zero = std::find(input.begin(), input.end(), uint8_t{0});
  const uint64_t length = static_cast<uint64_t>(zero - input.begin());
  std::vector<uint8_t> file(sizeof(length));
  std::memcpy(file.data(), &length, sizeof(length));
  file.insert(file.end(), input.begin(), zero);
  if (zero != input.end()) file.insert(file.end(), zero + 1, input.end());
  return file;
}

}  // namespace

void safetensors_header(std::span<const uint8_t> input) {
  const std::vector<uint8_t> bytes = file_of(input);
  const MemoryFile file(bytes);
  const auto opened = SafetensorsFile::open(file.path());
  if (!opened) {
    FT_CHECK(!opened.error().message.empty());
    return;
  }
  const auto mapped = (*opened)->mapping()->bytes();
  int64_t total = 0;
  for (const auto& [name, tensor] : (*opened)->tensors()) {
    FT_CHECK(tensor.bytes >= 0, name);
    FT_CHECK(tensor.data >= mapped.data() && tensor.data + tensor.bytes <= mapped.data() + mapped.size(),
             name);
    int64_t elements = 1;
    for (const int64_t size : tensor.shape) elements *= size;
    FT_CHECK(elements * byte_size(tensor.dtype) == tensor.bytes, name);
    total += tensor.bytes;
  }
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  FT_CHECK(static_cast<uint64_t>(total) + header + sizeof(header) == bytes.size());  // no hole
}

}  // namespace ft::fuzz
