// The operations of a V4 forward pass, each with its exact meaning; one implementation per kind of hardware.
//
// Every op is row-wise: what it writes for one row is a function of that row's inputs alone, with a reduction
// order that depends on the widths only. So a row's bits never depend on how many rows, or which, share the
// call (ARCHITECTURE.md, idea 4; `linear` and attention are where it takes care).
//
// Numeric modes. kExact: float32 math, no rounding or quantisation anywhere (rb(), q8(), q8sim(), q4sim()
// below are the identity). kOfficial: the rounding points of the released model (docs/spec/model.md 3);
// values that the model holds in bf16 are float32 numbers rounded by rb().
//   rb(x)     round to nearest even to bf16
//   q8(x)     per group of 128 consecutive elements of a row, with amax the group's largest magnitude:
//             s = 2^ceil(log2(max(amax, 1e-4) / 448)), then e4m3_RNE(x / s) * s
//   q8sim(x)  q8 with groups of 64; the result is a bf16 number already
//   q4sim(x)  per group of 32: s = 2^ceil(log2(max(amax, 6 * 2^-126) / 6)), then e2m1_RNE(x / s) * s,
//             which is a bf16 number already
// The divisions by 448 and by 6 are products with fl32(1/448) and fl32(1/6) (docs/spec/model.md 3.0).
//
// Shapes use m rows, n streams, d hidden size, H heads of c columns, HI index heads of cI columns, E routed
// experts of which a row uses K, V words. Activations are float32 in both modes. Pointers in Matrix, Weight
// and the views are addresses of this backend. Ops run in order on one queue; `download` waits for it. No op
// allocates after `reserve`.
//
// Shapes and formats are checked here, once for all backends: a public op checks and calls the private
// virtual of the same name. A contradiction is a bug of the caller and ends the program with the values.
// What only the device can see (ids, addresses) is checked where the device is the host.
//
// Ranks. Several backends, each with a part of the weights, compute one forward pass: all call the same ops with the
// same arguments in the same order (core/ranks/comm.h). Activations have their whole shape on every rank. Ops that read
// weights or heads which ranks own (linear with rows of a weight, query_norm_rope, attend) read and write the columns
// of these alone, and leave the others as they are; shard_linear and moe add up what all ranks own of a sum, and
// gather_columns fetches their columns. The order of sums over shards is that of core/shards.h, also on one rank, so
// that bits do not depend on the number of ranks. Ops that exchange something may throw RankError.
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
#include "core/machine_memory.h"
#include "core/model_config.h"
#include "core/shards.h"
#include "core/tensor.h"
#include "core/weights.h"

namespace ft {

enum class Numerics : uint8_t { kExact, kOfficial };

// Who computes the linears of long prompts: the kernels that compute every other row, whose sums do not depend on how
// many rows there are, or cuBLASLt, whose sums do (docs/cuda.md, "Long prompts").
enum class PrefillGemm : uint8_t { kInvariant, kCublasLt };
inline constexpr int64_t kLongPromptRows = 64;  // a part of a prompt is long where it has more rows in a step

// Consecutive rows.
struct RowRange {
  int64_t first = 0;
  int64_t count = 0;
  bool operator==(const RowRange&) const = default;
};

// What a linear's input is in kOfficial, and what happens to it and to the output besides the product: kBF16 is
// bfloat16 numbers as they are; kQ8 is the same, and q8() of them where the weight is fp8 or fp4.
enum class LinearInput : uint8_t { kAsIs, kBF16, kQ8 };
enum class LinearOutput : uint8_t { kF32, kBF16 };  // kBF16: rb() of the sum in kOfficial

// cos and sin of the rotary angles of each row: [rows, rope_dim/2, 2] float32 (cos, sin), made by core/rope.h
// on the host. Interleaved pairs (2i, 2i+1) of the last rope_dim columns turn by angle i
// (docs/spec/model.md section 1).
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

// Attention of m queries over one set of rows that are keys and values alike (one KV head,
// docs/spec/model.md 3.7).
struct AttentionArgs {
  Matrix q;                         // [rows, H*c], normed and rotated
  KeyRows raw;                      // [*, c] window rows
  const int32_t* window = nullptr;  // [rows, window_width] addresses in raw, oldest first, -1 = none
  int32_t window_width = 0;
  KeyRows compressed;                 // [*, c] compressed entries; null for SWA
  const int32_t* selected = nullptr;  // CSA: [rows, selected_width] addresses, ascending j, -1 = none
  int32_t selected_width = 0;
  const CompressedView* all_visible = nullptr;  // HCA: every visible entry in order of j
  Vector sink;                                  // [H]
  int head_count = 0;
  int head_unit = 1;  // neighbouring heads that shards do not divide (core/shards.h)
  int64_t head_dim = 0;
  Rotations inverse;  // of the query positions; applied conjugated to the output
  Matrix out;         // [rows, H*c]
};

// One product of `Backend::linears`; the arguments of `linear`.
struct LinearCall {
  Matrix x;
  const Weight* weight = nullptr;
  Matrix y;
  LinearInput input = LinearInput::kAsIs;
  LinearOutput output = LinearOutput::kF32;
  int groups = 1;
};

// What a sub-layer adds to the residual streams (docs/spec/model.md 3.2.6).
struct SublayerOutput {
  Matrix output;  // [m, d]
  Matrix post;    // [m, n]
  Matrix comb;    // [m, n*n]
};

// A step of fixed shape: the same ops each time, with the same pointers and counts. A device records
// it once and replays it; a backend without recordings runs the ops each time. Must not outlive its backend.
class StepGraph {
 public:
  virtual ~StepGraph() = default;
  // Runs the step. `ops` calls ops of the backend that made this, the same ones each time: a replay does not
  // call it. Uploads, downloads and everything that the host must do each time stay outside.
  virtual void run(const std::function<void()>& ops) { ops(); }
};

class Backend : public DeviceMemory, public WeightPlacer {
 public:
  ~Backend() override = default;
  virtual std::string_view name() const = 0;    // "reference", "cpu", "cuda"
  virtual std::string description() const = 0;  // for people: instruction set and threads, or device name
  Numerics numerics() const { return numerics_; }
  RankGroup ranks() const final { return ranks_; }

  // What allocate() may take in all.
  virtual MemoryLimit memory_limit() const { return host_memory_limit(); }

  // Plans scratch for batches of up to `rows` rows of `config` (activations inside ops),
  // and takes note of its constants. Call before the first op.
  // rms_norm and linear may be called with up to hc_mult * rows rows (one per stream, MTP).
  // A second call keeps the larger plan. What a StepGraph has recorded is recorded again.
  void reserve(const ModelConfig& config, int64_t rows);

  virtual std::unique_ptr<StepGraph> make_graph() { return std::make_unique<StepGraph>(); }

  virtual PrefillGemm prefill_gemm() const { return PrefillGemm::kInvariant; }
  // The linears from here on may compute each of these ranges of rows by itself, in sums that depend on how many rows
  // it has: long parts of prompts, ascending and apart. An empty list ends it. Without kCublasLt nothing changes.
  virtual void set_prompt_rows(std::span<const RowRange>) {}

  // The ops between these two do not depend on each other: none reads or writes what another one writes. So they may
  // run in any order, and together where the hardware gains by it. Use IndependentOps.
  virtual void begin_independent() {}
  virtual void end_independent() {}

  // --- streams (docs/spec/model.md 3.1, 3.2, 3.10, 3.11) ---

  // streams[r, s, :] = table[tokens[r], :] for every stream s.
  // streams [m, n*d]; table bf16 or float32 [V, d].
  void embed(const int32_t* tokens, const Weight& table, int stream_count, Matrix streams);

  // out[r, :] = table[ids[r], :] widened. table bf16 or float32 [V, k]; out [m, k].
  void gather_rows(const int32_t* ids, const Weight& table, Matrix out);

  // Hyper-connection entry of a sub-layer: rho, z, pre, post, Sinkhorn comb (docs/spec/model.md 3.2.1-4),
  // then y = rb(sum_i pre_i X_i) and, if `norm` is given, y = rms_norm(y; norm).
  // streams [m, n*d]; y [m, d]; post [m, n]; comb [m, n*n], C_jk row-major.
  void hc_pre(Matrix streams, const HyperConnectionWeights& hc, Vector norm, Matrix y, Matrix post,
              Matrix comb);

  // streams[r, k, :] = rb(post_k * output + sum_j comb[j, k] * streams[r, j, :]), in place
  // (docs/spec/model.md 3.2.6). streams [m, n*d].
  void hc_post(Matrix streams, const SublayerOutput& before);

  // hc_post(streams, before), then hc_pre(streams, hc, norm, y, post, comb), in one pass over the streams
  // where the hardware gains by it. `post` and `comb` may be the matrices of `before`.
  void hc_post_pre(Matrix streams, const SublayerOutput& before, const HyperConnectionWeights& hc,
                   Vector norm, Matrix y, Matrix post, Matrix comb);

  // Head collapse: y = rb(sum_i pre_i X_i) with pre = sigmoid(z * scale + base) + hc_eps
  // (docs/spec/model.md 3.10). streams [m, n*d]; y [m, d].
  void hc_head(Matrix streams, const HeadCollapseWeights& head, Matrix y);

  // out[r, :] = (1/n) sum_s streams[r, s, :] (docs/spec/dspark.md 1.1): sum in ascending s, rb() at the end.
  // out [m, d] may be strided.
  void stream_mean(Matrix streams, int stream_count, Matrix out);

  // streams[r, s, :] = rb(e[r, :] + h[r, s, :]), the input of MTP (docs/spec/model.md 3.11). e [m, d]; h and
  // streams [m, n*d] may be the same memory.
  void combine_streams(Matrix e, Matrix h, Matrix streams);

  // --- linears and norms (docs/spec/model.md 3.0) ---

  // y = rb(x * rsqrt(mean(x^2) + rms_norm_eps) * w), rounded once. x, y [m, k] may be the same.
  void rms_norm(Matrix x, Vector weight, Matrix y);

  // y = x W^T. x [m, k], W [n, k], y [m, n]. Products and sums in float32; for kQ8 with an
  // fp8 or fp4 weight the input is q8()-ed first. With groups g > 1 (wo_a) x is [m, g*k] and W is [g*n, k]:
  // y[r, G*n+i] = W[G*n+i, :] . x[r, G*k:(G+1)*k]. Of a weight that is some rows of a whole, x and y are those of the
  // whole, and the columns of y of these rows are written; with groups these are whole groups.
  void linear(Matrix x, const Weight& weight, Matrix y, LinearInput input, LinearOutput output,
              int groups = 1);

  // Several linears that do not depend on each other, in one go where the hardware gains by it: no y overlaps
  // another y or any x.
  void linears(std::span<const LinearCall> calls);

  // y = x W^T, as linear, but summed over the shards of the input columns, which are cut by `unit`: the partial sum of
  // a shard is the product over its columns, in float32 and in the order of `linear`; they are added as a tree and
  // rounded once. q8() is as in linear: units are a multiple of its groups, or the whole. Each rank holds the columns
  // of its own shards; x and y are whole, and all ranks get y.
  void shard_linear(Matrix x, const Weight& weight, int64_t unit, Matrix y, LinearInput input,
                    LinearOutput output);

  // Every rank gets the columns of y that others own, where shards cut these by `unit`. With one rank nothing is left
  // to do.
  void gather_columns(Matrix y, int64_t unit);

  // --- attention inputs (docs/spec/model.md 3.3) ---

  // In place per head of `head_dim`: q *= rsqrt(mean(q^2) + rms_norm_eps) without weight,
  // then rotate the last rope_dim columns and round to bf16. q [m, H*c]. In kOfficial square,
  // mean, + eps, rsqrt and product are each rounded to bf16; the mean is summed in float32.
  // Of the heads that this rank owns, which are cut by `head_unit` heads.
  void query_norm_rope(Matrix q, int64_t head_dim, int head_unit, Rotations rotations);

  // raw[dst[r], :] = the KV row of x[r, :] (output of wkv): rms_norm, rotate, round to bf16, q8sim() of the
  // columns before the rotated ones. x [m, c]; raw rows have c columns.
  void store_kv(Matrix x, Vector norm, Rotations rotations, CacheRows raw, const int32_t* dst);

  // --- compressor (docs/spec/model.md 3.5) ---

  // state[dst[r], :] = [k[r, :] | g[r, :] + ape[positions[r] % ratio, :]]. k, g [m, w]; ape [ratio, w]; state
  // rows have 2*w float32 columns.
  void store_compressor_rows(Matrix k, Matrix g, Vector ape, const int32_t* positions, int ratio,
                             float* state, const int32_t* dst);

  // One compressed entry per closing row: out[dst[i], :] from the state rows sources[i, :]
  // ([count, pooled_blocks(ratio) * ratio] addresses; -1 is no row, with weight exactly 0). For CSA the first
  // `ratio` sources use columns [0:c] of k and u, the others [c:2c]. Softmax over the sources per channel
  // (maximum subtracted; sum and weighted sum in source order), e = rb(sum / weight), rms_norm(norm), rotate
  // (rotations of the block's first position), rb; then
  //   is_index_key false: q8sim() of the columns before the rotated ones
  //   is_index_key true:  Hadamard (x c^-1/2, float32, rb) and q4sim() of all; c is a power of two
  // With fixed_shapes() an entry without any source is padding: what is written there is never read.
  void compress(const float* state, const int32_t* sources, int64_t count, int ratio, int64_t head_dim,
                Vector norm, Rotations rotations, bool is_index_key, CacheRows out, const int32_t* dst);

  // --- indexer (docs/spec/model.md 3.6) ---

  // In place per head of `head_dim`, a power of two:
  // rotate, rb, Hadamard (float32 inside, one rb), q4sim() of all columns. q [m, HI*cI].
  void index_query(Matrix q, int64_t head_dim, Rotations rotations);

  // Scores I_j = rb(sum_h rb(w_h * relu(rb(q_h . key_j)))) with w = rb(weights[r, h] * weight_scale),
  // sum over h in float32. selected[r, :] = addresses of the min(top_k, visible) entries with the largest
  // score (ties: smaller j), in ascending j, then -1 up to top_k. When visible <= top_k all are taken without
  // scoring. q [m, HI*cI]; weights [m, HI]; selected [m, top_k].
  // `scores` (optional, [m, >= visible_max] float32) receives I_j, for tests; rows then are always scored.
  void index_select(Matrix q, Matrix weights, float weight_scale, KeyRows keys, int64_t head_dim,
                    const CompressedView& view, int top_k, int32_t* selected, Matrix* scores = nullptr);

  // --- attention core (docs/spec/model.md 3.7) ---

  // One softmax over [window | compressed] in list order: l = c^-1/2 (q . K), M = max l over all keys,
  // w = exp(l - M), Z = sum of the unrounded w + exp(sink - M), o = rb((sum rb(w) K) / Z), then the inverse
  // rotation and rb. A row always has at least one key. Of the heads that this rank owns.
  void attend(const AttentionArgs& args);

  // --- mixture of experts (docs/spec/model.md 3.9) ---

  // Scores a = sqrt(softplus(gate . x)) in float32. Chosen are tid2eid[tokens[r], :] where moe.tid2eid is
  // set, else the k largest a + bias (ties: lower id). Ids are written ascending;
  // weights = a[id] / sum * route_scale. x [m, d]; ids int32 [m, k]; weights float32 [m, k].
  void route(Matrix x, const MoeWeights& moe, const int32_t* tokens, int k, float route_scale, int32_t* ids,
             float* weights);

  // y = rb(sum over shards s of p_s), as a tree, with p_s = (sum over ids ascending of expert_s(x)) + shared_s(x); all
  // in float32. x, y [m, d]. An expert: G = rb(w1 q8(x)), U = rb(w3 q8(x)), U clamped to +-limit, G to <= limit,
  // h = rb(weight * silu(G) * U), then expert_s = w2[:, columns of s] q8(h)[columns of s]. The shared expert is the
  // same without the route weight. Shards cut the intermediate columns by 128; a rank holds those rows of w1 and w3
  // and columns of w2 that its shards have, and all ranks get y.
  void moe(Matrix x, const MoeWeights& moe, const int32_t* ids, const float* weights, int k,
           float swiglu_limit, Matrix y);

 protected:
  explicit Backend(Numerics numerics, RankGroup ranks = {}) : numerics_(numerics), ranks_(ranks) {}
  // Constants of the model, from the config of the last reserve().
  float rms_norm_eps_ = 1e-6f;
  float hc_eps_ = 1e-6f;
  int hc_sinkhorn_iters_ = 20;
  int hc_mult_ = 4;

 private:
  // The ops, called with arguments that keep the contract and, except for reserve, at least one row.
  virtual void do_reserve(const ModelConfig& config, int64_t rows) = 0;
  virtual void do_embed(const int32_t* tokens, const Weight& table, int stream_count, Matrix streams) = 0;
  virtual void do_gather_rows(const int32_t* ids, const Weight& table, Matrix out) = 0;
  virtual void do_hc_pre(Matrix streams, const HyperConnectionWeights& hc, Vector norm, Matrix y, Matrix post,
                         Matrix comb) = 0;
  virtual void do_hc_post(Matrix streams, const SublayerOutput& before) = 0;
  virtual void do_hc_post_pre(Matrix streams, const SublayerOutput& before, const HyperConnectionWeights& hc,
                              Vector norm, Matrix y, Matrix post, Matrix comb);
  virtual void do_hc_head(Matrix streams, const HeadCollapseWeights& head, Matrix y) = 0;
  virtual void do_stream_mean(Matrix streams, int stream_count, Matrix out) = 0;
  virtual void do_combine_streams(Matrix e, Matrix h, Matrix streams) = 0;
  virtual void do_rms_norm(Matrix x, Vector weight, Matrix y) = 0;
  virtual void do_linear(const LinearCall& call) = 0;
  virtual void do_linears(std::span<const LinearCall> calls);
  virtual void do_shard_linear(const LinearCall& call, int64_t unit) = 0;
  virtual void do_gather_columns(Matrix y, int64_t unit) = 0;
  virtual void do_query_norm_rope(Matrix q, int64_t head_dim, int head_unit, Rotations rotations) = 0;
  virtual void do_store_kv(Matrix x, Vector norm, Rotations rotations, CacheRows raw, const int32_t* dst) = 0;
  virtual void do_store_compressor_rows(Matrix k, Matrix g, Vector ape, const int32_t* positions, int ratio,
                                        float* state, const int32_t* dst) = 0;
  virtual void do_compress(const float* state, const int32_t* sources, int64_t count, int ratio,
                           int64_t head_dim, Vector norm, Rotations rotations, bool is_index_key,
                           CacheRows out, const int32_t* dst) = 0;
  virtual void do_index_query(Matrix q, int64_t head_dim, Rotations rotations) = 0;
  virtual void do_index_select(Matrix q, Matrix weights, float weight_scale, KeyRows keys, int64_t head_dim,
                               const CompressedView& view, int top_k, int32_t* selected, Matrix* scores) = 0;
  virtual void do_attend(const AttentionArgs& args) = 0;
  virtual void do_route(Matrix x, const MoeWeights& moe, const int32_t* tokens, int k, float route_scale,
                        int32_t* ids, float* weights) = 0;
  virtual void do_moe(Matrix x, const MoeWeights& moe, const int32_t* ids, const float* weights, int k,
                      float swiglu_limit, Matrix y) = 0;

  Numerics numerics_;
  RankGroup ranks_;
};

// While it lives, the ops of its backend are independent (Backend::begin_independent).
class IndependentOps {
 public:
  explicit IndependentOps(Backend& backend) : backend_(backend) { backend_.begin_independent(); }
  ~IndependentOps() { backend_.end_independent(); }
  IndependentOps(const IndependentOps&) = delete;
  IndependentOps& operator=(const IndependentOps&) = delete;

 private:
  Backend& backend_;
};

// Scalar loops with float64 accumulation: the specification that the others are tested against.
std::unique_ptr<Backend> make_reference_backend(Numerics numerics, RankGroup ranks = {});

// Highway SIMD on `threads` threads (0 = all cores); weights are read as stored.
std::unique_ptr<Backend> make_cpu_backend(Numerics numerics, int threads, RankGroup ranks = {});

// Whether this build and this machine have a CUDA device to run on: kUnavailable with the reason. The device of one of
// several ranks is not opened yet, since all of them together decide which it is.
Result<void> cuda_usable(const RankGroup& ranks);
// The first CUDA device, or that of the rank. kUnavailable with the reason when this build or machine has none. All
// ranks call it at the same time, and only where all of them have a device: they exchange something.
Result<std::unique_ptr<Backend>> make_cuda_backend(Numerics numerics, RankGroup ranks = {},
                                                   PrefillGemm prefill = PrefillGemm::kInvariant);
// What decides the order of cuBLASLt's sums, in words: its version, and the device. kUnavailable with the reason where
// this build or machine has no cuBLASLt. Call where cuda_usable().
Result<std::string> cublaslt_usable();

}  // namespace ft
