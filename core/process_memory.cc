#include "core/process_memory.h"

#include <charconv>
#include <string_view>

#include "core/file.h"

namespace ft {

int64_t process_memory() {
  constexpr int64_t kMaxBytes = 1 << 16;
  constexpr std::string_view kName = "\nPss:";
  const auto text = read_file("/proc/self/smaps_rollup", kMaxBytes);
  if (!text) return 0;
  const size_t found = text->find(kName);
  if (found == std::string::npos) return 0;
  const size_t number = text->find_first_not_of(' ', found + kName.size());
  int64_t kibibytes = 0;
  if (number != std::string::npos)
    std::from_chars(text->data() + number, text->data() + text->size(), kibibytes);
  return kibibytes << 10;
}

}  // namespace ft
