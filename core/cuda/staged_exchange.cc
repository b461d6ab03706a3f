#include <algorithm>
#include <cstdint>

#include "core/cuda/exchange.h"

namespace ft::cuda {

namespace {

class StagedExchange final : public Exchange {
 public:
  explicit StagedExchange(Comm& comm) : comm_(comm) {}
  StagedExchange(const StagedExchange&) = delete;
  StagedExchange& operator=(const StagedExchange&) = delete;
  ~StagedExchange() override { cudaFreeHost(memory_); }

  std::string name() const override { return "through host memory"; }
  bool recordable() const override { return false; }

  void all_gather(Queue queue, const void* own, void* all, size_t bytes_each) override {
    const size_t total = bytes_each * static_cast<size_t>(comm_.size());
    // Also waits until the copy of the call before has left the memory.
    check_cuda(cudaStreamSynchronize(queue.stream), "an op");
    grow(total);
    uint8_t* mine = memory_ + bytes_each * static_cast<size_t>(comm_.rank());
    check_cuda(cudaMemcpyAsync(mine, own, bytes_each, cudaMemcpyDeviceToHost, queue.stream), "an exchange");
    check_cuda(cudaStreamSynchronize(queue.stream), "an exchange");
    comm_.all_gather(mine, memory_, bytes_each);
    check_cuda(cudaMemcpyAsync(all, memory_, total, cudaMemcpyHostToDevice, queue.stream), "an exchange");
  }

 private:
  void grow(size_t bytes) {
    if (bytes <= size_) return;
    cudaFreeHost(memory_);
    memory_ = nullptr;
    size_ = std::max(bytes, size_ * 2);
    check_cuda(cudaMallocHost(reinterpret_cast<void**>(&memory_), size_), "allocating page-locked memory");
  }

  Comm& comm_;
  uint8_t* memory_ = nullptr;
  size_t size_ = 0;
};

}  // namespace

std::unique_ptr<Exchange> make_staged_exchange(Comm& comm) {
  return std::make_unique<StagedExchange>(comm);
}

}  // namespace ft::cuda
