#include "core/cpu/streams.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/streams.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include "core/cpu/lanes-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

// Mixing coefficients of a row: (2 + n) n of them, rounded up to whole groups of sixteen.
constexpr int kMixesMax = ((2 + kStreamsMax) * kStreamsMax + kSumLanes - 1) / kSumLanes * kSumLanes;

// exp() of x[0..count) in place; x has room for whole groups of sixteen.
HWY_INLINE void exp_row(float* x, int count) {
  const D d;
  for (int i = 0; i < count; i += kLanes) hn::StoreU(exp_lanes(d, hn::LoadU(d, x + i)), d, x + i);
}

// 1 / (1 + exp(-x)) of x[0..count) in place; room as above.
HWY_INLINE void sigmoid_row(float* x, int count) {
  const D d;
  const V one = hn::Set(d, 1.0f);
  for (int i = 0; i < count; i += kLanes) {
    const V decay = exp_lanes(d, hn::Neg(hn::LoadU(d, x + i)));
    hn::StoreU(hn::Div(one, hn::Add(one, decay)), d, x + i);
  }
}

HWY_INLINE float stream_rho(const HyperConnectionJob& job, int64_t row) {
  const float mean =
      sum_squares(job.streams.row(row), job.streams.cols, false) / static_cast<float>(job.streams.cols);
  return 1.0f / std::sqrt(mean + job.rms_norm_eps);
}

// y = rb(sum_i pre_i X_i), streams in ascending order, then the norm if there is one.
HWY_INLINE void collapse(const HyperConnectionJob& job, int64_t row, const float* pre) {
  const D d;
  const float* x = job.streams.row(row);
  float* y = job.y.row(row);
  const int64_t width = job.y.cols;
  for (int64_t c = 0; c < width; c += kLanes) {
    const auto mask = hn::FirstN(d, static_cast<size_t>(std::min<int64_t>(kLanes, width - c)));
    V sum = hn::Zero(d);
    for (int i = 0; i < job.stream_count; ++i) {
      sum = hn::MulAdd(hn::Set(d, pre[i]), hn::MaskedLoad(mask, d, x + i * width + c), sum);
    }
    hn::BlendedStore(round_if(d, sum, job.official), mask, d, y + c);
  }
  if (job.norm) rms_norm_row(y, job.norm.data, width, job.rms_norm_eps, job.official, y);
}

// Rows of a batch whose four streams are balanced together, each in 128 bits of its own.
constexpr int kBalanced = kLanes / 4;

// Four by four, within each 128 bits.
HWY_INLINE void transpose4(V (&rows)[4]) {
  const D d;
  const hn::Repartition<double, D> pairs;
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, rows[0], rows[1]));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, rows[2], rows[3]));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, rows[0], rows[1]));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, rows[2], rows[3]));
  rows[0] = hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23));
  rows[1] = hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23));
  rows[2] = hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23));
  rows[3] = hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23));
}

// rows[j] /= the sum of the rows, lane by lane, on top of `start`.
HWY_INLINE void divide_by_sum(V (&rows)[4], float start) {
  V sum = hn::Set(D(), start);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) sum = hn::Add(sum, rows[j]);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) rows[j] = hn::Div(rows[j], sum);
}

// The steps of sinkhorn() behind its exponentials for four streams, as the published models have, of up to kBalanced
// rows of the batch: the same sums in the same order, and the rows wait for their divisions together.
HWY_INLINE void balance4(float (*combs)[kMixesMax], int count, int iterations, float eps) {
  const D d;
  HWY_ALIGN float packed[4][kLanes];
  for (int j = 0; j < 4; ++j) {
    for (int b = 0; b < kBalanced; ++b)
      std::copy_n(combs[std::min(b, count - 1)] + 4 * j, 4, packed[j] + 4 * b);
  }
  V rows[4];
  for (int j = 0; j < 4; ++j) rows[j] = hn::Load(d, packed[j]);
  for (int iteration = 0; iteration < iterations; ++iteration) {
    transpose4(rows);
    divide_by_sum(rows, iteration == 0 ? 0.0f : eps);
    transpose4(rows);
    if (iteration == 0) {
      for (int j = 0; j < 4; ++j) rows[j] = hn::Add(rows[j], hn::Set(d, eps));
    }
    divide_by_sum(rows, eps);
  }
  for (int j = 0; j < 4; ++j) {
    hn::Store(rows[j], d, packed[j]);
    for (int b = 0; b < count; ++b) std::copy_n(packed[j] + 4 * b, 4, combs[b] + 4 * j);
  }
}

inline void balance(float* c, int n, int iterations, float eps) {
  for (int iteration = 0; iteration < iterations; ++iteration) {
    for (int j = 0; j < n; ++j) {
      float sum = iteration == 0 ? 0.0f : eps;
      for (int k = 0; k < n; ++k) sum += c[j * n + k];
      for (int k = 0; k < n; ++k) c[j * n + k] = c[j * n + k] / sum + (iteration == 0 ? eps : 0.0f);
    }
    for (int k = 0; k < n; ++k) {
      float sum = eps;
      for (int j = 0; j < n; ++j) sum += c[j * n + k];
      for (int j = 0; j < n; ++j) c[j * n + k] /= sum;
    }
  }
}

// Sinkhorn of C [n, n] in place for up to kBalanced rows, with room for whole groups of sixteen
// (docs/spec/model.md 3.2.4): the first row step is a softmax with eps added after it.
HWY_INLINE void sinkhorn(float (*combs)[kMixesMax], int count, int n, int iterations, float eps) {
  for (int b = 0; b < count; ++b) {
    float* c = combs[b];
    for (int j = 0; j < n; ++j) {
      const float top = *std::max_element(c + j * n, c + (j + 1) * n);
      for (int k = 0; k < n; ++k) c[j * n + k] -= top;
    }
    exp_row(c, n * n);
    if (n != 4) balance(c, n, iterations, eps);
  }
  if (n == 4) balance4(combs, count, iterations, eps);
}

void hc_entry_rows_target(const HyperConnectionJob& job, int64_t begin, int64_t end) {
  const int n = job.stream_count;
  const float* scale = job.scale.data;
  const float* base = job.base.data;
  for (; begin < end; begin += kBalanced) {
    const int count = static_cast<int>(std::min<int64_t>(kBalanced, end - begin));
    float gates[kBalanced][kMixesMax] = {}, combs[kBalanced][kMixesMax] = {};
    for (int b = 0; b < count; ++b) {
      const int64_t r = begin + b;
      const float rho = stream_rho(job, r);
      const float* z = job.mixes + r * (2 + n) * n;
      for (int i = 0; i < 2 * n; ++i) gates[b][i] = z[i] * rho * scale[i / n] + base[i];
      for (int i = 0; i < n * n; ++i) combs[b][i] = z[2 * n + i] * rho * scale[2] + base[2 * n + i];
      sigmoid_row(gates[b], 2 * n);
    }
    sinkhorn(combs, count, n, job.sinkhorn_iters, job.hc_eps);
    for (int b = 0; b < count; ++b) {
      const int64_t r = begin + b;
      for (int i = 0; i < n; ++i) {
        gates[b][i] += job.hc_eps;
        job.post.row(r)[i] = 2.0f * gates[b][n + i];
      }
      std::copy_n(combs[b], n * n, job.comb.row(r));
      collapse(job, r, gates[b]);
    }
  }
}

void hc_head_rows_target(const HyperConnectionJob& job, int64_t begin, int64_t end) {
  const int n = job.stream_count;
  for (int64_t r = begin; r < end; ++r) {
    const float rho = stream_rho(job, r);
    float pre[kMixesMax] = {};
    for (int i = 0; i < n; ++i) pre[i] = job.mixes[r * n + i] * rho * job.scale.data[0] + job.base.data[i];
    sigmoid_row(pre, n);
    for (int i = 0; i < n; ++i) pre[i] += job.hc_eps;
    collapse(job, r, pre);
  }
}

// All old streams of a column vector are read before any is written, so the update may be in place.
template <int kStreams>
HWY_INLINE void exit_row(const HyperConnectionExitJob& job, int64_t row, int n) {
  const D d;
  const int count = kStreams > 0 ? kStreams : n;
  constexpr int kMax = kStreams > 0 ? kStreams : kStreamsMax;
  const int64_t width = job.output.cols;
  float* x = job.streams.row(row);
  const float* o = job.output.row(row);
  const float* post = job.post.row(row);
  const float* comb = job.comb.row(row);
  for (int64_t c = 0; c < width; c += kLanes) {
    const auto mask = hn::FirstN(d, static_cast<size_t>(std::min<int64_t>(kLanes, width - c)));
    V old[kMax];
#pragma GCC unroll 8
    for (int j = 0; j < count; ++j) old[j] = hn::MaskedLoad(mask, d, x + j * width + c);
    const V out = hn::MaskedLoad(mask, d, o + c);
#pragma GCC unroll 8
    for (int k = 0; k < count; ++k) {
      V sum = hn::Mul(hn::Set(d, post[k]), out);
#pragma GCC unroll 8
      for (int j = 0; j < count; ++j) sum = hn::MulAdd(hn::Set(d, comb[j * count + k]), old[j], sum);
      hn::BlendedStore(round_if(d, sum, job.official), mask, d, x + k * width + c);
    }
  }
}

void hc_exit_rows_target(const HyperConnectionExitJob& job, int64_t begin, int64_t end) {
  const int n = static_cast<int>(job.post.cols);
  for (int64_t r = begin; r < end; ++r) {
    if (n == 4) {
      exit_row<4>(job, r, n);
    } else {
      exit_row<0>(job, r, n);
    }
  }
}

void stream_mean_rows_target(Matrix streams, int stream_count, Matrix out, bool official, int64_t begin,
                             int64_t end) {
  const D d;
  const V share = hn::Set(d, 1.0f / static_cast<float>(stream_count));
  const int64_t width = out.cols;
  for (int64_t r = begin; r < end; ++r) {
    const float* x = streams.row(r);
    float* y = out.row(r);
    for (int64_t c = 0; c < width; c += kLanes) {
      const auto mask = hn::FirstN(d, static_cast<size_t>(std::min<int64_t>(kLanes, width - c)));
      V sum = hn::Zero(d);
      for (int s = 0; s < stream_count; ++s) sum = hn::Add(sum, hn::MaskedLoad(mask, d, x + s * width + c));
      hn::BlendedStore(round_if(d, hn::Mul(sum, share), official), mask, d, y + c);
    }
  }
}

void combine_rows_target(Matrix e, Matrix h, Matrix streams, bool official, int64_t begin, int64_t end) {
  const D d;
  const int64_t width = e.cols;
  const int64_t stream_count = streams.cols / width;
  for (int64_t r = begin; r < end; ++r) {
    const float* a = e.row(r);
    for (int64_t s = 0; s < stream_count; ++s) {
      const float* b = h.row(r) + s * width;
      float* y = streams.row(r) + s * width;
      for (int64_t c = 0; c < width; c += kLanes) {
        const auto mask = hn::FirstN(d, static_cast<size_t>(std::min<int64_t>(kLanes, width - c)));
        const V sum = hn::Add(hn::MaskedLoad(mask, d, a + c), hn::MaskedLoad(mask, d, b + c));
        hn::BlendedStore(round_if(d, sum, official), mask, d, y + c);
      }
    }
  }
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ft::cpu {

HWY_EXPORT(hc_entry_rows_target);
HWY_EXPORT(hc_head_rows_target);
HWY_EXPORT(hc_exit_rows_target);
HWY_EXPORT(stream_mean_rows_target);
HWY_EXPORT(combine_rows_target);

void hc_entry_rows(const HyperConnectionJob& job, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(hc_entry_rows_target)(job, begin, end);
}
void hc_head_rows(const HyperConnectionJob& job, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(hc_head_rows_target)(job, begin, end);
}
void hc_exit_rows(const HyperConnectionExitJob& job, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(hc_exit_rows_target)(job, begin, end);
}
void stream_mean_rows(Matrix streams, int stream_count, Matrix out, bool official, int64_t begin,
                      int64_t end) {
  HWY_DYNAMIC_DISPATCH(stream_mean_rows_target)(streams, stream_count, out, official, begin, end);
}
void combine_rows(Matrix e, Matrix h, Matrix streams, bool official, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(combine_rows_target)(e, h, streams, official, begin, end);
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
