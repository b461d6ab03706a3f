// Embedding, hyper-connections and the other ops on residual streams
// (docs/spec/model.md 3.1, 3.2, 3.10, 3.11).
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/reference/reference_backend.h"
#include "core/reference/row_math.h"

namespace ft::reference {

namespace {

// z_i * rho of docs/spec/model.md 3.2.1-2: the mixes of one row of streams.
std::vector<double> mixes(const float* streams, const Weight& fn, double rho) {
  std::vector<double> z(static_cast<size_t>(fn.rows));
  std::vector<float> row(static_cast<size_t>(fn.cols));
  for (int64_t i = 0; i < fn.rows; ++i) {
    decode_row(fn, i, row.data());
    z[i] = dot(row.data(), streams, fn.cols) * rho;
  }
  return z;
}

void normalize_rows(std::vector<double>& c, int n, double eps) {
  for (int j = 0; j < n; ++j) {
    double sum = 0.0;
    for (int k = 0; k < n; ++k) sum += c[j * n + k];
    for (int k = 0; k < n; ++k) c[j * n + k] /= sum + eps;
  }
}

void normalize_columns(std::vector<double>& c, int n, double eps) {
  for (int k = 0; k < n; ++k) {
    double sum = 0.0;
    for (int j = 0; j < n; ++j) sum += c[j * n + k];
    for (int j = 0; j < n; ++j) c[j * n + k] /= sum + eps;
  }
}

// Sinkhorn of docs/spec/model.md 3.2.4.
// The first row step is a softmax, whose divisor has no eps but whose values get it.
void sinkhorn(std::vector<double>& c, int n, int iterations, double eps) {
  for (int j = 0; j < n; ++j) {
    double* row = c.data() + j * n;
    const double largest = *std::max_element(row, row + n);
    double sum = 0.0;
    for (int k = 0; k < n; ++k) {
      row[k] = std::exp(row[k] - largest);
      sum += row[k];
    }
    for (int k = 0; k < n; ++k) row[k] = row[k] / sum + eps;
  }
  normalize_columns(c, n, eps);
  for (int iteration = 1; iteration < iterations; ++iteration) {
    normalize_rows(c, n, eps);
    normalize_columns(c, n, eps);
  }
}

}  // namespace

void ReferenceBackend::do_embed(const int32_t* tokens, const Weight& table, int stream_count,
                                Matrix streams) {
  for (int64_t r = 0; r < streams.rows; ++r) {
    FT_CHECK(tokens[r] >= 0 && tokens[r] < table.rows, r, tokens[r], table.rows);
    for (int s = 0; s < stream_count; ++s) decode_row(table, tokens[r], streams.row(r) + s * table.cols);
  }
}

void ReferenceBackend::do_gather_rows(const int32_t* ids, const Weight& table, Matrix out) {
  for (int64_t r = 0; r < out.rows; ++r) {
    FT_CHECK(ids[r] >= 0 && ids[r] < table.rows, r, ids[r], table.rows);
    decode_row(table, ids[r], out.row(r));
  }
}

void ReferenceBackend::collapse(const float* streams, const std::vector<double>& weights, int64_t width,
                                float* y) const {
  for (int64_t i = 0; i < width; ++i) {
    double sum = 0.0;
    for (size_t s = 0; s < weights.size(); ++s) sum += weights[s] * streams[s * width + i];
    y[i] = rb(sum);
  }
}

void ReferenceBackend::do_hc_pre(Matrix streams, const HyperConnectionWeights& hc, Vector norm, Matrix y,
                                 Matrix post, Matrix comb) {
  const int n = hc_mult_;
  const double eps = hc_eps_;
  const float* base = hc.base.data;
  const float* scale = hc.scale.data;
  std::vector<double> pre(static_cast<size_t>(n));
  std::vector<double> c(static_cast<size_t>(n * n));
  for (int64_t r = 0; r < streams.rows; ++r) {
    const float* x = streams.row(r);
    const std::vector<double> z = mixes(x, hc.fn, rms_factor(x, streams.cols));
    const auto affine = [&](int i, int part) { return z[i] * scale[part] + base[i]; };
    for (int i = 0; i < n; ++i) pre[i] = sigmoid(affine(i, 0)) + eps;
    for (int i = 0; i < n; ++i) post.row(r)[i] = static_cast<float>(2.0 * sigmoid(affine(n + i, 1)));
    for (int i = 0; i < n * n; ++i) c[i] = affine(2 * n + i, 2);
    sinkhorn(c, n, hc_sinkhorn_iters_, eps);
    for (int i = 0; i < n * n; ++i) comb.row(r)[i] = static_cast<float>(c[i]);
    collapse(x, pre, y.cols, y.row(r));
    if (norm) rms_norm_row(y.row(r), norm, y.row(r));
  }
}

void ReferenceBackend::do_hc_post(Matrix streams, const SublayerOutput& before) {
  const int n = hc_mult_;
  const int64_t width = before.output.cols;
  std::vector<double> mixed(static_cast<size_t>(n));
  for (int64_t r = 0; r < streams.rows; ++r) {
    float* x = streams.row(r);
    for (int64_t i = 0; i < width; ++i) {
      const double out = before.output.row(r)[i];
      for (int k = 0; k < n; ++k) {
        mixed[k] = before.post.row(r)[k] * out;
        for (int j = 0; j < n; ++j) {
          mixed[k] += static_cast<double>(before.comb.row(r)[j * n + k]) * x[j * width + i];
        }
      }
      for (int k = 0; k < n; ++k) x[k * width + i] = rb(mixed[k]);
    }
  }
}

void ReferenceBackend::do_hc_head(Matrix streams, const HeadCollapseWeights& head, Matrix y) {
  const int n = hc_mult_;
  std::vector<double> pre(static_cast<size_t>(n));
  for (int64_t r = 0; r < streams.rows; ++r) {
    const float* x = streams.row(r);
    const std::vector<double> z = mixes(x, head.fn, rms_factor(x, streams.cols));
    for (int i = 0; i < n; ++i) {
      pre[i] = sigmoid(z[i] * head.scale.data[0] + head.base.data[i]) + hc_eps_;
    }
    collapse(x, pre, y.cols, y.row(r));
  }
}

void ReferenceBackend::do_stream_mean(Matrix streams, int stream_count, Matrix out) {
  for (int64_t r = 0; r < streams.rows; ++r) {
    for (int64_t i = 0; i < out.cols; ++i) {
      double sum = 0.0;
      for (int s = 0; s < stream_count; ++s) sum += streams.row(r)[s * out.cols + i];
      out.row(r)[i] = rb(sum / stream_count);
    }
  }
}

void ReferenceBackend::do_combine_streams(Matrix e, Matrix h, Matrix streams) {
  for (int64_t r = 0; r < streams.rows; ++r) {
    for (int64_t i = 0; i < streams.cols; ++i) {
      streams.row(r)[i] = rb(static_cast<double>(e.row(r)[i % e.cols]) + h.row(r)[i]);
    }
  }
}

}  // namespace ft::reference
