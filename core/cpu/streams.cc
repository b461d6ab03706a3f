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

inline float sigmoid(float x) {
  return 1.0f / (1.0f + std::exp(-x));
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

// Sinkhorn of C [n, n] in place (docs/spec/model.md 3.2.4):
// the first row step is a softmax with eps added after it.
inline void sinkhorn(float* c, int n, int iterations, float eps) {
  for (int j = 0; j < n; ++j) {
    float* row = c + j * n;
    const float top = *std::max_element(row, row + n);
    float sum = 0.0f;
    for (int k = 0; k < n; ++k) sum += row[k] = std::exp(row[k] - top);
    for (int k = 0; k < n; ++k) row[k] = row[k] / sum + eps;
  }
  for (int iteration = 0; iteration < iterations; ++iteration) {
    if (iteration > 0) {
      for (int j = 0; j < n; ++j) {
        float sum = eps;
        for (int k = 0; k < n; ++k) sum += c[j * n + k];
        for (int k = 0; k < n; ++k) c[j * n + k] /= sum;
      }
    }
    float sums[kStreamsMax];
    for (int k = 0; k < n; ++k) sums[k] = eps;
    for (int j = 0; j < n; ++j) {
      for (int k = 0; k < n; ++k) sums[k] += c[j * n + k];
    }
    for (int j = 0; j < n; ++j) {
      for (int k = 0; k < n; ++k) c[j * n + k] /= sums[k];
    }
  }
}

void hc_entry_rows_target(const HyperConnectionJob& job, int64_t begin, int64_t end) {
  const int n = job.stream_count;
  const float* scale = job.scale.data;
  const float* base = job.base.data;
  for (int64_t r = begin; r < end; ++r) {
    const float rho = stream_rho(job, r);
    const float* z = job.mixes + r * (2 + n) * n;
    float pre[kStreamsMax];
    float* post = job.post.row(r);
    float* comb = job.comb.row(r);
    for (int i = 0; i < n; ++i) {
      pre[i] = sigmoid(z[i] * rho * scale[0] + base[i]) + job.hc_eps;
      post[i] = 2.0f * sigmoid(z[n + i] * rho * scale[1] + base[n + i]);
    }
    for (int i = 0; i < n * n; ++i) comb[i] = z[2 * n + i] * rho * scale[2] + base[2 * n + i];
    sinkhorn(comb, n, job.sinkhorn_iters, job.hc_eps);
    collapse(job, r, pre);
  }
}

void hc_head_rows_target(const HyperConnectionJob& job, int64_t begin, int64_t end) {
  const int n = job.stream_count;
  for (int64_t r = begin; r < end; ++r) {
    const float rho = stream_rho(job, r);
    float pre[kStreamsMax];
    for (int i = 0; i < n; ++i) {
      pre[i] = sigmoid(job.mixes[r * n + i] * rho * job.scale.data[0] + job.base.data[i]) + job.hc_eps;
    }
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
