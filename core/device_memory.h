// Memory where the ops of a backend compute, and the ways in and out of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "core/cache_rows.h"

namespace ft {

// Memory of a device, zeroed at allocation, freed with the object.
class Buffer {
 public:
  Buffer() = default;
  using Release = std::function<void(void*)>;
  Buffer(void* data, size_t bytes, Release release) : data_(data, std::move(release)), bytes_(bytes) {}
  void* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }
  float* f32() const { return static_cast<float*>(data_.get()); }

 private:
  std::unique_ptr<void, Release> data_;
  size_t bytes_ = 0;
};

// What a cache needs of a backend. Calls run in order on one queue, together with the ops of the backend.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  // Ends the program where the memory does not suffice: sizes are checked against limits before.
  virtual Buffer allocate(size_t bytes) = 0;
  // Host memory may be reused on return.
  virtual void upload(void* destination, const void* host, size_t bytes) = 0;
  // Waits for all earlier ops.
  virtual void download(void* host, const void* source, size_t bytes) = 0;
  // destination[dst[i]] = source[src[i]] for rows of `row_bytes`; the two may be the same tensor when no
  // address is both read and written. `src`, `dst`: int32 [count] in device memory.
  virtual void copy_rows(void* destination, const void* source, int64_t row_bytes, const int32_t* src,
                         const int32_t* dst, int64_t count) = 0;
  // True if the lists of a step must keep one size per row count (padded with dummies), because the device
  // replays a recorded step (Backend::run).
  virtual bool fixed_shapes() const { return false; }
  // How a cache in this memory keeps window rows, compressed entries and index keys. Ops take both formats
  // or, where this is kF32, float32 rows alone.
  virtual RowFormat cache_format() const { return RowFormat::kF32; }
};

}  // namespace ft
