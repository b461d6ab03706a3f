// Memory is host memory: an address of this backend is a plain pointer.
#include <cstdlib>
#include <cstring>
#include <new>

#include "core/reference/reference_backend.h"

namespace ft {

std::unique_ptr<Backend> make_reference_backend(Numerics numerics, RankGroup ranks) {
  return std::make_unique<reference::ReferenceBackend>(numerics, ranks);
}

namespace reference {

const void* ReferenceBackend::place(const void* host, size_t) {
  return host;
}

Buffer ReferenceBackend::allocate(size_t bytes) {
  void* data = std::calloc(bytes > 0 ? bytes : 1, 1);
  if (data == nullptr) throw std::bad_alloc();
  return Buffer(data, bytes, [](void* memory) { std::free(memory); });
}

void ReferenceBackend::upload(void* destination, const void* host, size_t bytes) {
  if (bytes > 0) std::memcpy(destination, host, bytes);
}

void ReferenceBackend::download(void* host, const void* source, size_t bytes) {
  if (bytes > 0) std::memcpy(host, source, bytes);
}

void ReferenceBackend::copy_rows(void* destination, const void* source, int64_t row_bytes, const int32_t* src,
                                 const int32_t* dst, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    // A row copied onto itself is harmless, but memmove is what makes it defined.
    std::memmove(static_cast<char*>(destination) + dst[i] * row_bytes,
                 static_cast<const char*>(source) + src[i] * row_bytes, static_cast<size_t>(row_bytes));
  }
}

}  // namespace reference
}  // namespace ft
