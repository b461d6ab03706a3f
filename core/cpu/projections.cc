#include "core/cpu/projections.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/projections.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include <vector>

#include "core/cpu/lanes-inl.h"
#include "core/cpu/pack_rows-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

void rms_norm_rows_target(Matrix x, Vector weight, Matrix y, float eps, bool official, int64_t begin,
                          int64_t end) {
  for (int64_t r = begin; r < end; ++r) rms_norm_row(x.row(r), weight.data, x.cols, eps, official, y.row(r));
}

const float* angles_of(const Rotations& rotations, int64_t row) {
  return rotations.data + row * rotations.rope_dim;
}

void query_heads_target(Matrix q, int64_t head_dim, Rotations rotations, float eps, bool official,
                        int64_t begin, int64_t end) {
  const D d;
  const int64_t heads = q.cols / head_dim;
  for (int64_t item = begin; item < end; ++item) {
    float* head = q.row(item / heads) + item % heads * head_dim;
    float mean = sum_squares(head, head_dim, official) / static_cast<float>(head_dim);
    float factor;
    if (official) {
      // The released model evaluates this norm in bf16 throughout (docs/spec/model.md 3.3.2).
      mean = ft::round_bf16(ft::round_bf16(mean) + eps);
      factor = ft::round_bf16(1.0f / std::sqrt(mean));
    } else {
      factor = 1.0f / std::sqrt(mean + eps);
    }
    for (int64_t c = 0; c < head_dim; c += kLanes) {
      const auto mask = hn::FirstN(d, static_cast<size_t>(std::min<int64_t>(kLanes, head_dim - c)));
      const V v = hn::Mul(hn::MaskedLoad(mask, d, head + c), hn::Set(d, factor));
      hn::BlendedStore(round_if(d, v, official), mask, d, head + c);
    }
    rotate_pairs(head + head_dim - rotations.rope_dim, angles_of(rotations, item / heads), rotations.rope_dim,
                 1.0f, official);
  }
}

void index_query_heads_target(Matrix q, int64_t head_dim, Rotations rotations, bool official, int64_t begin,
                              int64_t end) {
  const int64_t heads = q.cols / head_dim;
  for (int64_t item = begin; item < end; ++item) {
    float* head = q.row(item / heads) + item % heads * head_dim;
    rotate_pairs(head + head_dim - rotations.rope_dim, angles_of(rotations, item / heads), rotations.rope_dim,
                 1.0f, official);
    hadamard_row(head, head_dim, official);
    if (official) quantize_row<E2m1>(head, head_dim, 32, head);
  }
}

// The end that window rows and compressed entries share:
// norm, rotation, quantisation of the columns before the rotated ones.
HWY_INLINE void finish_kv_row(const float* x, Vector norm, const float* angles, int64_t rope_dim, float eps,
                              bool official, float* out) {
  const int64_t plain = norm.size - rope_dim;
  rms_norm_row(x, norm.data, norm.size, eps, official, out);
  rotate_pairs(out + plain, angles, rope_dim, 1.0f, official);
  if (official) quantize_row<E4m3>(out, plain, 64, out);
}

// Row `index` of `rows` gets what `fill` writes to a float32 row of `head_dim` columns.
template <class Fill>
HWY_INLINE void write_row(const CacheRows& rows, int64_t index, int64_t head_dim, int64_t rope_dim,
                          bool is_index_key, std::vector<float>& row, const Fill& fill) {
  if (!rows.packed()) return fill(rows.f32() + index * head_dim);
  row.resize(static_cast<size_t>(head_dim));
  fill(row.data());
  auto* packed = static_cast<uint8_t*>(rows.data);
  if (is_index_key) {
    pack_index_key(row.data(), head_dim, packed + index * index_key_bytes(rows.format, head_dim));
  } else {
    pack_key_row(row.data(), head_dim, rope_dim, packed + index * key_bytes(rows.format, head_dim, rope_dim));
  }
}

// Where packed rows are made before they are packed. Of the thread, so that ops do not allocate.
std::vector<float>& row_of_thread() {
  thread_local std::vector<float> row;
  return row;
}

void store_kv_rows_target(const StoreKvJob& job, int64_t begin, int64_t end) {
  const int64_t rope_dim = job.rotations.rope_dim;
  for (int64_t r = begin; r < end; ++r) {
    write_row(job.raw, job.dst[r], job.x.cols, rope_dim, false, row_of_thread(), [&](float* out) {
      finish_kv_row(job.x.row(r), job.norm, angles_of(job.rotations, r), rope_dim, job.eps, job.official,
                    out);
    });
  }
}

// Softmax-pooling of one vector of channels over the source rows, in source order.
HWY_INLINE V pool_channels(const CompressJob& job, const int32_t* sources, int64_t channel,
                           hn::Mask<D> mask) {
  const D d;
  const int blocks = pooled_blocks(job.ratio);
  const int count = blocks * job.ratio;
  const int64_t width = blocks * job.head_dim;
  const auto k_of = [&](int i) {
    const int64_t half = i >= job.ratio ? job.head_dim : 0;
    return job.state + sources[i] * 2 * width + half + channel;
  };
  V top = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (int i = 0; i < count; ++i) {
    if (sources[i] >= 0) top = hn::Max(top, hn::MaskedLoad(mask, d, k_of(i) + width));
  }
  V total = hn::Zero(d), sum = hn::Zero(d);
  for (int i = 0; i < count; ++i) {
    if (sources[i] < 0) continue;
    const V weight = exp_lanes(d, hn::Sub(hn::MaskedLoad(mask, d, k_of(i) + width), top));
    total = hn::Add(total, weight);
    sum = hn::MulAdd(weight, hn::MaskedLoad(mask, d, k_of(i)), sum);
  }
  return hn::Div(sum, total);
}

HWY_INLINE void compress_entry(const CompressJob& job, int64_t i, float* out) {
  const D d;
  const int count = pooled_blocks(job.ratio) * job.ratio;
  const int64_t rope_dim = job.rotations.rope_dim;
  for (int64_t c = 0; c < job.head_dim; c += kLanes) {
    const auto mask = hn::FirstN(d, static_cast<size_t>(std::min<int64_t>(kLanes, job.head_dim - c)));
    hn::BlendedStore(round_if(d, pool_channels(job, job.sources + i * count, c, mask), job.official), mask, d,
                     out + c);
  }
  if (job.is_index_key) {
    rms_norm_row(out, job.norm.data, job.head_dim, job.eps, job.official, out);
    rotate_pairs(out + job.head_dim - rope_dim, angles_of(job.rotations, i), rope_dim, 1.0f, job.official);
    hadamard_row(out, job.head_dim, job.official);
    if (job.official) quantize_row<E2m1>(out, job.head_dim, 32, out);
  } else {
    finish_kv_row(out, job.norm, angles_of(job.rotations, i), rope_dim, job.eps, job.official, out);
  }
}

void compress_entries_target(const CompressJob& job, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    write_row(job.out, job.dst[i], job.head_dim, job.rotations.rope_dim, job.is_index_key, row_of_thread(),
              [&](float* out) { compress_entry(job, i, out); });
  }
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ft::cpu {

HWY_EXPORT(rms_norm_rows_target);
HWY_EXPORT(query_heads_target);
HWY_EXPORT(index_query_heads_target);
HWY_EXPORT(store_kv_rows_target);
HWY_EXPORT(compress_entries_target);

void rms_norm_rows(Matrix x, Vector weight, Matrix y, float eps, bool official, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(rms_norm_rows_target)(x, weight, y, eps, official, begin, end);
}
void query_heads(Matrix q, int64_t head_dim, Rotations rotations, float eps, bool official, int64_t begin,
                 int64_t end) {
  HWY_DYNAMIC_DISPATCH(query_heads_target)(q, head_dim, rotations, eps, official, begin, end);
}
void index_query_heads(Matrix q, int64_t head_dim, Rotations rotations, bool official, int64_t begin,
                       int64_t end) {
  HWY_DYNAMIC_DISPATCH(index_query_heads_target)(q, head_dim, rotations, official, begin, end);
}
void store_kv_rows(const StoreKvJob& job, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(store_kv_rows_target)(job, begin, end);
}
void compress_entries(const CompressJob& job, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(compress_entries_target)(job, begin, end);
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
