#include "core/machine_memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <charconv>

#include "core/file.h"

namespace ft {
namespace {

constexpr int64_t kMaxBytes = 1 << 10;  // of a file that holds one number

void lower(MemoryLimit& limit, int64_t bytes, const char* what) {
  if (bytes > 0 && bytes < limit.bytes) limit = {bytes, what};
}

// The number in a file; 0 where there is none ("max").
int64_t number_in(const char* path) {
  const auto text = read_file(path, kMaxBytes);
  int64_t number = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

int64_t own_limit(__rlimit_resource resource) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur > static_cast<rlim_t>(INT64_MAX)) return 0;
  return static_cast<int64_t>(limit.rlim_cur);
}

}  // namespace

MemoryLimit host_memory_limit() {
  MemoryLimit limit{int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE), "this machine's memory"};
  lower(limit, number_in("/sys/fs/cgroup/memory.max"), "the control group's memory.max");
  lower(limit, number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes"), "the control group's memory limit");
  lower(limit, own_limit(RLIMIT_AS), "ulimit -v");
  lower(limit, own_limit(RLIMIT_DATA), "ulimit -d");
  return limit;
}

std::string bytes_text(int64_t bytes) {
  const double mebibytes = static_cast<double>(bytes) / (1 << 20);
  return mebibytes < 1024.0 ? fmt::format("{:.0f} MiB", mebibytes)
                            : fmt::format("{:.1f} GiB", mebibytes / 1024.0);
}

}  // namespace ft
