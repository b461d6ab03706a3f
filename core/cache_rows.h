// Rows that a cache holds and attention reads, in one of two formats.
//
// Official numerics leave a window row or compressed entry as e4m3 values times a power of two per 64
// columns, and rotated columns as bf16 numbers; an index key as e2m1 values times a power of two per 32
// columns (docs/spec/model.md 3.0). Packed rows hold just that and lose no bit; float32 rows hold any value.
//   packed key        one e4m3 byte per column before the rotated ones, one ue8m0 byte per 64 of these, zeros up
//                     to a multiple of 8, then the rotated columns as bf16: 584 bytes for 448 + 64 columns
//   packed index key  two e2m1 codes a byte (the low half is the even column), one ue8m0 byte per 32 columns: 68
//                     bytes for 128 columns
#pragma once

#include <cstdint>

#include "core/quantize.h"

namespace ft {

enum class RowFormat : uint8_t { kF32, kPacked };

// Rows to write to: an address of a backend.
struct CacheRows {
  void* data = nullptr;
  RowFormat format = RowFormat::kF32;

  CacheRows() = default;
  CacheRows(float* rows) : data(rows) {}  // NOLINT: float32 rows are rows of a cache
  CacheRows(void* rows, RowFormat row_format) : data(rows), format(row_format) {}

  explicit operator bool() const { return data != nullptr; }
  bool packed() const { return format == RowFormat::kPacked; }
  float* f32() const { return static_cast<float*>(data); }
};

// Rows to read.
struct KeyRows {
  const void* data = nullptr;
  RowFormat format = RowFormat::kF32;

  KeyRows() = default;
  KeyRows(const float* rows) : data(rows) {}                                // NOLINT: as above
  KeyRows(const CacheRows& rows) : data(rows.data), format(rows.format) {}  // NOLINT: what is written is read
  KeyRows(const void* rows, RowFormat row_format) : data(rows), format(row_format) {}

  explicit operator bool() const { return data != nullptr; }
  bool packed() const { return format == RowFormat::kPacked; }
  const float* f32() const { return static_cast<const float*>(data); }
};

constexpr int64_t groups_of(int64_t columns, int64_t group) {
  return (columns + group - 1) / group;
}

// Where the bf16 columns of a packed key begin.
constexpr int64_t packed_rope_offset(int64_t head_dim, int64_t rope_dim) {
  const int64_t plain = head_dim - rope_dim;
  return (plain + groups_of(plain, kQ8SimGroup) + 7) / 8 * 8;
}

// Bytes of a row.
constexpr int64_t key_bytes(RowFormat format, int64_t head_dim, int64_t rope_dim) {
  if (format == RowFormat::kF32) return head_dim * int64_t{sizeof(float)};
  return packed_rope_offset(head_dim, rope_dim) + rope_dim * 2;
}
constexpr int64_t index_key_bytes(RowFormat format, int64_t head_dim) {
  if (format == RowFormat::kF32) return head_dim * int64_t{sizeof(float)};
  return (head_dim + 1) / 2 + groups_of(head_dim, kQ4SimGroup);
}

// One row to and from its packed format, in plain scalar code. The values must be such as the format holds;
// packing quantises those that are not.
void pack_key(const float* row, int64_t head_dim, int64_t rope_dim, uint8_t* packed);
void unpack_key(const uint8_t* packed, int64_t head_dim, int64_t rope_dim, float* row);
void pack_index_key(const float* row, int64_t head_dim, uint8_t* packed);
void unpack_index_key(const uint8_t* packed, int64_t head_dim, float* row);

}  // namespace ft
