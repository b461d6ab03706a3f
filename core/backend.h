// The operations of a V4 forward pass, each with its exact meaning; one implementation per kind of hardware.
//
// Every op is row-wise: what it writes for one row is a function of that row's inputs alone, with a reduction
// order that depends on the widths only. So a row's bits never depend on how many rows, or which, share the
// call. (Idea 4 of ARCHITECTURE.md; `gemm` and attention are where it takes care.)
//
// Numeric modes. kExact: float32 math, no rounding or quantisation anywhere (rb(), q8(), q8sim(), q4sim()
// below are the identity). kOfficial: the rounding points of the released model (model.md section 3): values
// that the model holds in bf16 are float32 numbers rounded by rb().
//   rb(x)     round to nearest even to bf16
//   q8(x)     per group of 128 consecutive elements of a row, with amax the group's largest magnitude:
//             s = 2^ceil(log2(max(amax, 1e-4) / 448)), then e4m3_RNE(x / s) * s
//   q8sim(x)  q8 with groups of 64; the result is a bf16 number already
//   q4sim(x)  per group of 32: s = 2^ceil(log2(max(amax, 6 * 2^-126) / 6)), then e2m1_RNE(x / s) * s,
//             which is a bf16 number already
// The divisions by 448 and by 6 are products with fl32(1/448) and fl32(1/6) (model.md 3.0).
// Activations are float32 in both modes. Pointers in Matrix/Weight/IndexView are addresses of this backend.
// Ops run in order on one queue; `download` waits for it. No op allocates after `reserve`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/device_memory.h"
#include "core/error.h"
#include "core/model_config.h"
#include "core/tensor.h"
#include "core/weights.h"

namespace ft {

enum class Numerics : uint8_t { kExact, kOfficial };

// What happens to a linear's input and output besides the product.
enum class LinearInput : uint8_t { kAsIs, kQ8 };    // kQ8: q8() in kOfficial when the weight is fp8 or fp4
enum class LinearOutput : uint8_t { kF32, kBF16 };  // kBF16: rb() of the sum in kOfficial

// cos and sin of the rotary angles of each row:
// [rows, rope_dim/2, 2] float32 (cos, sin), made by core/rope.h on the host.
// Interleaved pairs (2i, 2i+1) of the LAST rope_dim columns turn by angle i (model.md section 1).
struct Rotations {
  const float* data = nullptr;
  int64_t rope_dim = 0;
};

// Which compressed entries each row sees. Entry j of row r is at address
//   j < committed[r]: page_table[sequence[r]*page_stride + j/entries_per_page] + j % entries_per_page
//   else            : private_entry[private_offset[r] + j - committed[r]]  (entries closed inside this batch)
// and row r sees committed[r] + private_offset[r+1] - private_offset[r] entries. Addresses index rows of
// `compressed` (and of `index_keys`, which is laid out alike). All arrays int32, in backend memory.
struct CompressedView {
  const int32_t* page_table = nullptr;
  int32_t page_stride = 0;
  int32_t entries_per_page = 0;
  const int32_t* sequence = nullptr;        // [rows]
  const int32_t* committed = nullptr;       // [rows]
  const int32_t* private_offset = nullptr;  // [rows+1]
  const int32_t* private_entry = nullptr;
  int32_t visible_max = 0;  // largest number of visible entries of any row (host knowledge, for sizing)
};

// Attention of `rows` queries over one shared key/value row set (K == V, one KV head), model.md 3.7.
struct AttentionArgs {
  Matrix q;                         // [rows, H*c], normed and rotated
  const float* raw = nullptr;       // [*, c] window rows
  const int32_t* window = nullptr;  // [rows, window_width] addresses in raw, oldest first, -1 = none
  int32_t window_width = 0;
  const float* compressed = nullptr;  // [*, c] compressed entries; null for SWA
  const int32_t* selected = nullptr;  // CSA: [rows, selected_width] addresses, ascending j, -1 = none
  int32_t selected_width = 0;
  const CompressedView* all_visible = nullptr;  // HCA: every visible entry in order of j
  Vector sink;                                  // [H]
  int head_count = 0;
  int64_t head_dim = 0;
  Rotations inverse;  // of the query positions; applied conjugated to the output
  Matrix out;         // [rows, H*c]
};

class Backend : public DeviceMemory, public WeightPlacer {
 public:
  ~Backend() override = default;
  virtual std::string_view name() const = 0;    // "reference", "cpu", "cuda"
  virtual std::string description() const = 0;  // for people: instruction set and threads, or device name
  Numerics numerics() const { return numerics_; }

  // --- steps ---
  // Runs `ops`, a sequence of ops in which every pointer and count is the same for equal keys, so that a
  // device may record it once and replay it. Uploads, downloads and everything that the host must do each
  // time stay outside: a replay does not call `ops`. Recorded steps are forgotten by reserve().
  virtual void run(uint64_t shape_key, const std::function<void()>& ops) {
    (void)shape_key;
    ops();
  }
  // Plans scratch for batches of up to `rows` rows of `config` (activations inside ops). Call before the
  // first op. rms_norm and linear may be called with up to hc_mult * rows rows (one per stream, MTP). A
  // second call keeps the larger plan.
  virtual void reserve(const ModelConfig& config, int64_t rows) = 0;

  // --- streams (model.md 3.1, 3.2, 3.10, 3.11) ---
  // streams[r, s, :] = table[tokens[r], :] for every stream s. streams [m, n*d]; table BF16 [V, d].
  virtual void embed(const int32_t* tokens, const Weight& table, int stream_count, Matrix streams) = 0;
  // out[r, :] = table[ids[r], :] widened. table BF16 or F32 [V, k].
  virtual void gather_rows(const int32_t* ids, const Weight& table, Matrix out) = 0;
  // Hyper-connection entry of a sub-layer: rho, z, pre, post, Sinkhorn comb (model.md 3.2.1-4), then
  // y = rb(sum_i pre_i X_i) and, if `norm` is given, y = rms_norm(y; norm).
  // streams [m, n*d]; y [m, d]; post [m, n]; comb [m, n*n] row-major C_jk.
  virtual void hc_pre(Matrix streams, const HyperConnectionWeights& hc, Vector norm, Matrix y, Matrix post,
                      Matrix comb) = 0;
  // streams[r,k,:] = rb(post_k * o + sum_j comb[j,k] * streams[r,j,:]), in place (model.md 3.2.6).
  virtual void hc_post(Matrix streams, Matrix sublayer_out, Matrix post, Matrix comb) = 0;
  // Head collapse: y = rb(sum_i pre_i X_i) with pre = sigmoid(z*scale + base) + hc_eps (model.md 3.10).
  // y [m, d].
  virtual void hc_head(Matrix streams, const HeadCollapseWeights& head, Matrix y) = 0;
  // out[r, :] = (1/n) sum_s streams[r, s, :], unweighted (dspark.md 1.1); sum in ascending s; rb() at the
  // end. `out` may be strided.
  virtual void stream_mean(Matrix streams, int stream_count, Matrix out) = 0;
  // streams[r,s,:] = rb(e[r,:] + h[r,s,:]): the MTP input (model.md 3.11).
  // h, streams [m, n*d] (may be the same memory).
  virtual void combine_streams(Matrix e, Matrix h, Matrix streams) = 0;

  // --- linears and norms (model.md 3.0) ---
  // y[r, :] = w * rb?(x): out = rb(x * rsqrt(mean(x^2) + rms_norm_eps) * w); one rounding.
  // x and y may be the same.
  virtual void rms_norm(Matrix x, Vector weight, Matrix y) = 0;
  // y = x W^T. With groups g > 1 (wo_a): x is [m, g*k], W is [g*n, k], y[m, G*n+i] = W[G*n+i, :] . x[m,
  // G*k:(G+1)*k]. Products and sums in float32; the input is q8()-ed first for kQ8 with fp8/fp4 weights.
  virtual void linear(Matrix x, const Weight& weight, Matrix y, LinearInput input, LinearOutput output,
                      int groups = 1) = 0;

  // --- attention inputs (model.md 3.3) ---
  // In place per head of `head_dim`: q *= rsqrt(mean(q^2) + eps) without weight (kOfficial: square, mean,
  // +eps, rsqrt and product each rounded to bf16, mean summed in float32), then rotate the last rope_dim
  // columns and round to bf16.
  virtual void query_norm_rope(Matrix q, int64_t head_dim, Rotations rotations) = 0;
  // raw[dst[r], :] = kv row of x[r, :] (= wkv output): rms_norm, rotate, round to bf16, q8sim() of the
  // columns before the rotated ones. raw rows have x.cols columns.
  virtual void store_kv(Matrix x, Vector norm, Rotations rotations, float* raw, const int32_t* dst) = 0;

  // --- compressor (model.md 3.5) ---
  // state[dst[r], :] = [k[r, :] | g[r, :] + ape[positions[r] % ratio, :]].
  // k, g [m, w]; state rows have 2*w columns, float32.
  virtual void store_compressor_rows(Matrix k, Matrix g, Vector ape, const int32_t* positions, int ratio,
                                     float* state, const int32_t* dst) = 0;
  // One compressed entry per closing row: out[dst[i], :] from state rows
  // sources[i, :] ([count, coff*ratio] addresses, -1 = no row: weight exactly 0).
  // coff = 2 for ratio 4: the first `ratio` sources use columns [0:c], the others [c:2c] of k and u.
  // Softmax over the sources per channel (max subtracted; sum and weighted sum in source order),
  // e = rb(sum/weight), rms_norm(norm), rotate (rotations of the block's first position), rb; then
  //   is_index_key false: q8sim() of the columns before the rotated ones; true: Hadamard (x c^-1/2, float32,
  //   rb) and q4sim() of all.
  virtual void compress(const float* state, const int32_t* sources, int64_t count, int ratio,
                        int64_t head_dim, Vector norm, Rotations rotations, bool is_index_key, float* out,
                        const int32_t* dst) = 0;

  // --- indexer (model.md 3.6) ---
  // In place per head of `head_dim`: rotate, rb, Hadamard (float32 inside, one rb), q4sim() of all columns.
  // q [m, HI*cI].
  virtual void index_query(Matrix q, int64_t head_dim, Rotations rotations) = 0;
  // Scores I_j = rb(sum_h rb(w_h * relu(rb(q_h . key_j)))) with w = rb(weights[r, h] * weight_scale), sum
  // over h in float32; selected[r, :] = addresses of the min(top_k, visible) entries with the largest score
  // (ties: smaller j), in ascending j, then -1 up to top_k. When visible <= top_k all are taken without
  // scoring. `scores` (optional, [m, *] float32) receives I_j, for tests; rows then are always scored.
  virtual void index_select(Matrix q, Matrix weights, float weight_scale, const float* keys, int64_t head_dim,
                            const CompressedView& view, int top_k, int32_t* selected,
                            Matrix* scores = nullptr) = 0;

  // --- attention core (model.md 3.7) ---
  // One softmax over [window | compressed] in list order: l = c^-1/2 (q . K), M = max l over keys, w = exp(l
  // - M), Z = sum w + exp(sink - M), o = rb((sum rb(w) K) / Z); M is the maximum over the whole list, Z uses
  // unrounded w, then the inverse rotation and rb. A row always has at least one key.
  virtual void attend(const AttentionArgs& args) = 0;

  // --- mixture of experts (model.md 3.9) ---
  // scores a = sqrt(softplus(gate . x)) float32. Selection: tid2eid[tokens[r], :] when moe.tid2eid is set,
  // else the `k` largest a + bias (ties: lower id). Ids are written ascending; weights = a[id] / sum *
  // route_scale. ids int32 [m, k], weights float32 [m, k].
  virtual void route(Matrix x, const MoeWeights& moe, const int32_t* tokens, int k, float route_scale,
                     int32_t* ids, float* weights) = 0;
  // y = rb(sum over ids ascending of expert(x), float32, + shared(x)). expert: G = rb(w1 q8(x)), U = rb(w3
  // q8(x)), U clamped to +-limit, G to <= limit, h = rb(weight * silu(G) * U), w2 q8(h) rounded by rb.
  // shared: the same without the route weight.
  virtual void moe(Matrix x, const MoeWeights& moe, const int32_t* ids, const float* weights, int k,
                   float swiglu_limit, Matrix y) = 0;

 protected:
  explicit Backend(Numerics numerics) : numerics_(numerics) {}
  float rms_norm_eps_ = 1e-6f;  // set by reserve() from the config, as are the next
  float hc_eps_ = 1e-6f;
  int hc_sinkhorn_iters_ = 20;
  int hc_mult_ = 4;

 private:
  Numerics numerics_;
};

// Scalar loops with float64 accumulation: the specification that the others are tested against.
std::unique_ptr<Backend> make_reference_backend(Numerics numerics);

// Highway SIMD on `threads` threads (0 = all cores); weights are read as stored.
std::unique_ptr<Backend> make_cpu_backend(Numerics numerics, int threads);

// The first CUDA device. kUnavailable with the reason when this build or machine has none.
Result<std::unique_ptr<Backend>> make_cuda_backend(Numerics numerics);

}  // namespace ft
