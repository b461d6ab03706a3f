#include "tests/gpu/emulator/emulator.h"

#include <sys/mman.h>

#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

// Saves the registers that a function must keep and the stack pointer, and goes on where another fiber left off.
extern "C" void ft_switch_fiber(void** from, void* to);
asm(R"(
.text
.globl ft_switch_fiber
.type ft_switch_fiber, @function
ft_switch_fiber:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size ft_switch_fiber, .-ft_switch_fiber
)");

namespace ft::emulator {

namespace {

constexpr size_t kSharedBytes = 227 * 1024;
constexpr size_t kStackBytes = 128 * 1024;
constexpr unsigned kWarp = 32;

// As shared memory declared in kernels: thread_local, so that every block of a cluster has its own.
alignas(128) thread_local uint8_t dynamic_memory[kSharedBytes];

[[noreturn]] void fail(const char* what, const Place& at) {
  std::fprintf(stderr, "emulated kernel: %s (block %u %u %u, thread %u)\n", what, at.block.x, at.block.y,
               at.block.z, at.thread.x);
  std::abort();
}

enum class State : uint8_t { kReady, kAtBarrier, kAtExchange, kDone };

struct Fiber {
  void* stack_pointer = nullptr;
  State state = State::kReady;
  Place place;
};

struct Warp {
  Words words[2][kWarp] = {};
  uint32_t exchanges = 0;  // finished
  unsigned arrived = 0;
  unsigned living = 0;
};

struct Cluster {
  explicit Cluster(unsigned size) : meeting(static_cast<std::ptrdiff_t>(size)), thread_pointers(size) {}
  std::barrier<> meeting;
  std::vector<char*> thread_pointers;
};

class Block;
thread_local Block* current_block = nullptr;

// The fibers of one block, in turn on the calling thread.
class Block {
 public:
  Block(unsigned threads, Cluster& cluster, unsigned rank)
      : fibers_(threads), warps_((threads + kWarp - 1) / kWarp), cluster_(cluster), rank_(rank) {
    stacks_ = static_cast<uint8_t*>(mmap(nullptr, threads * kStackBytes, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (stacks_ == MAP_FAILED) fail("no memory for stacks", {});
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { munmap(stacks_, fibers_.size() * kStackBytes); }

  void run(const Place& at, const std::function<void()>& thread) {
    thread_ = &thread;
    current_block = this;
    for (Warp& warp : warps_) warp = {};
    at_barrier_ = any_ = 0;
    living_ = static_cast<unsigned>(fibers_.size());
    for (unsigned i = 0; i < fibers_.size(); ++i) {
      Fiber& fiber = fibers_[i];
      fiber.place = at;
      fiber.place.thread = {i, 0, 0};
      fiber.state = State::kReady;
      ++warps_[i / kWarp].living;
      // As if `start` had been interrupted before its first instruction: its registers, and the address to return to.
      auto** top = reinterpret_cast<void**>(stacks_ + (i + 1) * kStackBytes);
      *--top = nullptr;
      *--top = reinterpret_cast<void*>(&Block::start);
      for (int reg = 0; reg < 6; ++reg) *--top = nullptr;
      fiber.stack_pointer = top;
    }
    while (living_ > 0) {
      bool moved = false;
      for (index_ = 0; index_ < fibers_.size(); ++index_) {
        if (fibers_[index_].state != State::kReady) continue;
        moved = true;
        current_place = &fibers_[index_].place;
        ft_switch_fiber(&scheduler_, fibers_[index_].stack_pointer);
      }
      if (!moved && living_ > 0) report_stuck();
    }
  }

  const Place& place() const { return fibers_[index_].place; }
  unsigned rank() const { return rank_; }
  const Cluster& cluster() const { return cluster_; }

  bool sync(bool value) {
    any_ |= value ? 1u : 0u;
    ++at_barrier_;
    fibers_[index_].state = State::kAtBarrier;
    open_barrier();
    wait();
    return result_ != 0;
  }

  const Words* exchange(const Words& own) {
    Warp& warp = warps_[index_ / kWarp];
    Words* words = warp.words[warp.exchanges % 2];
    words[index_ % kWarp] = own;
    ++warp.arrived;
    fibers_[index_].state = State::kAtExchange;
    open_exchange(warp, index_ / kWarp);
    wait();
    return words;
  }

  void sync_cluster() {
    // The threads of a block first: the last to arrive waits for the other blocks.
    const unsigned round = rounds_;
    if (at_barrier_ + 1 == living_) {
      cluster_.meeting.arrive_and_wait();
      ++rounds_;
    }
    sync(false);
    if (rounds_ == round) fail("a cluster barrier that not all threads of a block reach", place());
  }

 private:
  static void start() {
    Block& block = *current_block;
    (*block.thread_)();
    block.finish();
  }

  [[noreturn]] void finish() {
    Warp& warp = warps_[index_ / kWarp];
    fibers_[index_].state = State::kDone;
    --living_;
    --warp.living;
    open_barrier();
    open_exchange(warp, index_ / kWarp);
    ft_switch_fiber(&fibers_[index_].stack_pointer, scheduler_);
    std::abort();
  }

  void wait() { ft_switch_fiber(&fibers_[index_].stack_pointer, scheduler_); }

  void open_barrier() {
    if (at_barrier_ == 0 || at_barrier_ < living_) return;
    for (Fiber& fiber : fibers_)
      if (fiber.state == State::kAtBarrier) fiber.state = State::kReady;
    at_barrier_ = 0;
    result_ = any_;
    any_ = 0;
  }

  void open_exchange(Warp& warp, size_t index) {
    if (warp.arrived == 0 || warp.arrived < warp.living) return;
    warp.arrived = 0;
    ++warp.exchanges;
    for (size_t i = index * kWarp; i < std::min<size_t>((index + 1) * kWarp, fibers_.size()); ++i)
      if (fibers_[i].state == State::kAtExchange) fibers_[i].state = State::kReady;
  }

  [[noreturn]] void report_stuck() const {
    for (const Fiber& fiber : fibers_)
      if (fiber.state == State::kAtExchange)
        fail("a warp whose lanes do not come together waits", fiber.place);
    fail("a barrier that not all threads reach", fibers_[0].place);
  }

  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  uint8_t* stacks_ = nullptr;
  void* scheduler_ = nullptr;
  const std::function<void()>* thread_ = nullptr;
  Cluster& cluster_;
  size_t index_ = 0;
  unsigned rank_;
  unsigned living_ = 0;
  unsigned at_barrier_ = 0;
  unsigned any_ = 0;
  unsigned result_ = 0;
  unsigned rounds_ = 0;
};

}  // namespace

constinit thread_local const Place* current_place = nullptr;

void run(Index grid, unsigned threads, size_t shared_bytes, unsigned cluster,
         const std::function<void()>& thread) {
  Place at;
  at.block_dim = {threads, 1, 1};
  at.grid_dim = grid;
  if (shared_bytes > kSharedBytes || grid.x % cluster != 0) fail("the launch", at);
  const auto body = [&](unsigned rank, Cluster& meeting) {
    Block fibers(threads, meeting, rank);
    for (unsigned z = 0; z < grid.z; ++z)
      for (unsigned y = 0; y < grid.y; ++y)
        for (unsigned x = rank; x < grid.x; x += cluster) {
          Place here = at;
          here.block = {x, y, z};
          std::memset(dynamic_memory, 0xa5, shared_bytes);
          fibers.run(here, thread);
          // Nobody takes the next cluster's shared memory while another block still reads this one's.
          meeting.meeting.arrive_and_wait();
        }
  };
  Cluster meeting(cluster);
  const auto run_rank = [&](unsigned rank) {
    meeting.thread_pointers[rank] = static_cast<char*>(__builtin_thread_pointer());
    meeting.meeting.arrive_and_wait();
    body(rank, meeting);
  };
  if (cluster == 1) return run_rank(0);
  std::vector<std::thread> blocks;
  for (unsigned rank = 0; rank < cluster; ++rank) blocks.emplace_back(run_rank, rank);
  for (std::thread& block : blocks) block.join();
}

void* dynamic_shared() {
  return dynamic_memory;
}

void sync_block() {
  (void)current_block->sync(false);
}

bool sync_block_or(bool value) {
  return current_block->sync(value);
}

const Words* exchange(const Words& own) {
  return current_block->exchange(own);
}

unsigned block_rank() {
  return current_block->rank();
}

void sync_cluster() {
  current_block->sync_cluster();
}

void* shared_of(unsigned rank, const void* address) {
  const std::vector<char*>& pointers = current_block->cluster().thread_pointers;
  const auto* here = static_cast<const char*>(address);
  return pointers[rank] + (here - pointers[current_block->rank()]);
}

}  // namespace ft::emulator
