// Memory of the device: slabs for weights, one growing scratch, and the page-locked way in and out.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ft::cuda {

// Weights are many and never freed one by one: they are cut from slabs.
class WeightSlabs {
 public:
  WeightSlabs() = default;
  WeightSlabs(const WeightSlabs&) = delete;
  WeightSlabs& operator=(const WeightSlabs&) = delete;
  ~WeightSlabs();
  // `bytes` of device memory, aligned to 256; null where the device has no more.
  void* take(size_t bytes);

 private:
  std::vector<void*> slabs_;
  size_t used_ = 0;  // of the last slab
  size_t size_ = 0;
};

// Scratch inside ops. Its address changes when it grows, which only happens between recorded steps.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();
  // At least `bytes` of device memory; sets `grew` if the address is new. Waits for the device when it grows.
  void* get(size_t bytes, bool& grew);

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

// Page-locked host memory through which small copies pass, so that the caller's memory is free at once and
// copies do not wait for each other.
class Staging {
 public:
  Staging() = default;
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging();
  // Copies `host` to `device` on `stream`; `host` may be reused on return.
  void upload(void* device, const void* host, size_t bytes, cudaStream_t stream);
  // Copies `device` to `host`; returns when it is there.
  void download(void* host, const void* device, size_t bytes, cudaStream_t stream);

 private:
  void create();

  uint8_t* ring_ = nullptr;     // uploads in flight, used in turn
  uint8_t* landing_ = nullptr;  // one download at a time
  size_t at_ = 0;
  cudaEvent_t halves_[2] = {nullptr, nullptr};  // last copy that reads each half of the ring
};

}  // namespace ft::cuda
