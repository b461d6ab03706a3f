#include "core/cuda/memory.h"

#include <algorithm>
#include <cstring>

#include "core/cuda/launch.h"

namespace ft::cuda {

namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kSlabBytes = size_t{512} << 20;    // a Flash layer has 3.5 GB of weights in 800 tensors
constexpr size_t kRingBytes = size_t{8} << 20;      // plans of a step are well below 1 MB
constexpr size_t kLandingBytes = size_t{16} << 20;  // 32 rows of logits of 128k words

size_t aligned(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

WeightSlabs::~WeightSlabs() {
  for (void* slab : slabs_) cudaFree(slab);
}

void* WeightSlabs::take(size_t bytes) {
  const size_t needed = aligned(std::max<size_t>(bytes, 1));
  if (used_ + needed > size_) {
    void* slab = nullptr;
    const size_t size = std::max(needed, kSlabBytes);
    if (cudaMalloc(&slab, size) != cudaSuccess) {
      // The rest of the device may still be enough for this one.
      (void)cudaGetLastError();
      if (size == needed || cudaMalloc(&slab, needed) != cudaSuccess) {
        (void)cudaGetLastError();
        return nullptr;
      }
      slabs_.push_back(slab);
      used_ = size_ = needed;
      return slab;
    }
    slabs_.push_back(slab);
    used_ = 0;
    size_ = size;
  }
  void* taken = static_cast<uint8_t*>(slabs_.back()) + used_;
  used_ += needed;
  return taken;
}

Scratch::~Scratch() {
  cudaFree(data_);
}

void* Scratch::get(size_t bytes, bool& grew) {
  grew = bytes > size_;
  if (!grew) return data_;
  check_cuda(cudaDeviceSynchronize(), "before growing scratch");
  cudaFree(data_);
  size_ = aligned(bytes);
  check_cuda(cudaMalloc(&data_, size_), "allocating scratch");
  return data_;
}

Staging::~Staging() {
  for (cudaEvent_t event : halves_) {
    if (event != nullptr) cudaEventDestroy(event);
  }
  cudaFreeHost(ring_);
  cudaFreeHost(landing_);
}

void Staging::create() {
  if (ring_ != nullptr) return;
  check_cuda(cudaMallocHost(reinterpret_cast<void**>(&ring_), kRingBytes), "allocating page-locked memory");
  check_cuda(cudaMallocHost(reinterpret_cast<void**>(&landing_), kLandingBytes),
             "allocating page-locked memory");
  for (cudaEvent_t& event : halves_) {
    check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
  }
}

void Staging::upload(void* device, const void* host, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return;
  create();
  constexpr size_t kHalf = kRingBytes / 2;
  if (bytes > kHalf) {  // page tables of a long context, weights of a test: rare enough to wait for
    check_cuda(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream), "upload");
    check_cuda(cudaStreamSynchronize(stream), "upload");
    return;
  }
  size_t half = at_ / kHalf;
  if (at_ + aligned(bytes) > (half + 1) * kHalf) {
    check_cuda(cudaEventRecord(halves_[half], stream), "cudaEventRecord");
    half = 1 - half;
    at_ = half * kHalf;
    check_cuda(cudaEventSynchronize(halves_[half]),
               "cudaEventSynchronize");  // returns at once if never recorded
  }
  std::memcpy(ring_ + at_, host, bytes);
  check_cuda(cudaMemcpyAsync(device, ring_ + at_, bytes, cudaMemcpyHostToDevice, stream), "upload");
  at_ += aligned(bytes);
  if (at_ == kRingBytes) at_ = kRingBytes - 1;  // keeps `half` right; the next upload moves on
}

void Staging::download(void* host, const void* device, size_t bytes, cudaStream_t stream) {
  create();
  for (size_t done = 0; done < bytes;) {
    const size_t part = std::min(bytes - done, kLandingBytes);
    check_cuda(cudaMemcpyAsync(landing_, static_cast<const uint8_t*>(device) + done, part,
                               cudaMemcpyDeviceToHost, stream),
               "download");
    check_cuda(cudaStreamSynchronize(stream), "an op");
    std::memcpy(static_cast<uint8_t*>(host) + done, landing_, part);
    done += part;
  }
  if (bytes == 0) check_cuda(cudaStreamSynchronize(stream), "an op");
}

}  // namespace ft::cuda
