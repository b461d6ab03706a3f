#include "core/mapped_file.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <mutex>
#include <system_error>

#include "core/file.h"

namespace ft {
namespace {

// Two checkpoints with as many shards as an index may name. Where it is full, a bus error has no name.
constexpr int kSlots = 2 * 4096;

// One mapping, as a signal handler can read it: `begin` is set last and cleared first.
struct Slot {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<const char*> path{nullptr};
};

std::array<Slot, kSlots> slots;
std::mutex slots_mutex;  // of those who add and remove

int add_mapping(const std::byte* data, size_t size, const char* path) {
  const std::lock_guard lock(slots_mutex);
  for (int i = 0; i < kSlots; ++i) {
    if (slots[i].begin.load() != 0) continue;
    const auto begin = reinterpret_cast<uintptr_t>(data);
    slots[i].path.store(path);
    slots[i].end.store(begin + size);
    slots[i].begin.store(begin);
    return i;
  }
  return -1;
}

void remove_mapping(int slot) {
  const std::lock_guard lock(slots_mutex);
  slots[slot].begin.store(0);
}

struct Report {
  const char* program = "";
  int exit_code = 1;
};
Report report;

// Only what a signal handler may call. A reader that has stopped must not keep the process alive.
void write_line(std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    pollfd waiting{STDERR_FILENO, POLLOUT, 0};
    if (poll(&waiting, 1, 1000) <= 0) return;
    if (write(STDERR_FILENO, part, strlen(part)) < 0) return;
  }
}

void on_bus_error(int signal_number, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (const Slot& slot : slots) {
    const uintptr_t begin = slot.begin.load();
    if (begin == 0 || address < begin || address >= slot.end.load()) continue;
    write_line({report.program, ": ", slot.path.load(),
                ": cannot be read any more; it has become shorter, or its disk fails. A file in use may be "
                "replaced by renaming another over it, but not be written\n"});
    _exit(report.exit_code);
  }
  // Not ours: back to the default, under which the same instruction ends the process.
  signal(signal_number, SIG_DFL);
}

bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

Result<std::unique_ptr<MappedFile>> MappedFile::open(const std::string& path) {
  const auto file = open_regular_file(path);
  if (!file) return tl::make_unexpected(file.error());
  std::unique_ptr<MappedFile> mapped(new MappedFile);
  mapped->path_ = path;
  mapped->status_ = file->status;
  if (file->status.st_size == 0) return mapped;
  const auto size = static_cast<size_t>(file->status.st_size);
  void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file->descriptor.number(), 0);
  if (address == MAP_FAILED) {
    const int reason = errno;
    return fail(ErrorCode::kInvalidFile, "{}: cannot be mapped: {}", path,
                std::generic_category().message(reason));
  }
  mapped->data_ = static_cast<const std::byte*>(address);
  mapped->size_ = size;
  mapped->slot_ = add_mapping(mapped->data_, size, mapped->path_.c_str());
  return mapped;
}

MappedFile::~MappedFile() {
  if (slot_ >= 0) remove_mapping(slot_);
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

// Both are advice only: where prefetching is refused, pages are read on first use.
void MappedFile::prefetch(std::span<const std::byte> part) const {
  if (part.empty()) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(part.data()) / page * page;
  const size_t bytes = reinterpret_cast<uintptr_t>(part.data()) + part.size() - begin;
  static_cast<void>(madvise(reinterpret_cast<void*>(begin), bytes, MADV_WILLNEED));
}

void MappedFile::release(std::span<const std::byte> part) const {
  // Whole pages alone: what lies beside the part may be in use.
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(part.data()) + part.size()) / page * page;
  if (begin < end) static_cast<void>(madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED));
}

FileChange MappedFile::change() const {
  struct stat now {};
  if (stat(path_.c_str(), &now) != 0) return FileChange::kReplaced;
  if (now.st_dev != status_.st_dev || now.st_ino != status_.st_ino) return FileChange::kReplaced;
  if (now.st_size != status_.st_size || !same_time(now.st_mtim, status_.st_mtim)) return FileChange::kWritten;
  return same_time(now.st_ctim, status_.st_ctim) ? FileChange::kNone : FileChange::kTouched;
}

void report_lost_mappings(const char* program, int exit_code) {
  report = {program, exit_code};
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace ft
