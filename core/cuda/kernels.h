// What runs on the device: one launcher per kernel, filed by the op family of core/backend.h that it serves.
// Semantics, shapes and rounding are those of the op of the same name there; here stands only what an op does
// not say. Host code of nvcc and of the host compiler both include this header, so it stays free of fmt.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cuda/launch.h"
#include "core/tensor.h"

namespace ft::cuda {

// Columns cut into parts, part i is [at[i], at[i+1]), whose sums are added as a tree: the shards of this rank
// (core/shards.h). No parts: the sums go by the chunks of the weight (weight_tiles.cuh).
inline constexpr int kParts = 8;
struct ColumnParts {
  int32_t count = 0;
  int32_t at[kParts + 1] = {};
  int32_t widest = 0;  // part of any rank
};

// Zeros in device memory by which blocks of one launch wait for each other (last_block.cuh).
inline constexpr int kTickets = 1024;

// Rotations of core/backend.h.
struct RotationTable {
  const float* data = nullptr;
  int32_t rope_dim = 0;
};

// CompressedView of core/backend.h, by value.
struct EntryView {
  const int32_t* page_table = nullptr;
  int32_t page_stride = 0;
  int32_t entries_per_page = 1;
  const int32_t* sequence = nullptr;
  const int32_t* committed = nullptr;
  const int32_t* private_offset = nullptr;
  const int32_t* private_entry = nullptr;
};

// --- streams.cu ---
void copy_rows(Queue queue, void* destination, const void* source, int64_t row_bytes, const int32_t* src,
               const int32_t* dst, int64_t count);
// out[r, s, :] = table[ids[r], :] for `copies` values of s.
void gather_rows(Queue queue, const int32_t* ids, const Weight& table, int copies, Matrix out);
void stream_mean(Queue queue, bool official, Matrix streams, int stream_count, Matrix out);
void combine_streams(Queue queue, bool official, Matrix e, Matrix h, Matrix streams);

// --- hyper_connection.cu: four streams ---
inline constexpr int kStreams = 4;

// SublayerOutput of core/backend.h; output.data null: none.
struct StreamUpdate {
  Matrix output;
  Matrix post;
  Matrix comb;
};
struct HyperConnection {
  const float* fn = nullptr;     // [24 or 4, n*d]
  const float* base = nullptr;   // [24 or 4]
  const float* scale = nullptr;  // [3 or 1]
  const float* norm = nullptr;   // [d] or null
  int sinkhorn_iterations = 0;
  float hc_eps = 0.0f;
  float norm_eps = 0.0f;
};
void hc_post(Queue queue, bool official, Matrix streams, const StreamUpdate& update);
// Applies `update` to the streams, if there is one, while it reads them.
void hc_pre(Queue queue, bool official, Matrix streams, const StreamUpdate& update, const HyperConnection& hc,
            Matrix y, Matrix post, Matrix comb);
void hc_head(Queue queue, bool official, Matrix streams, const HyperConnection& hc, Matrix y);

// --- norms.cu ---
void rms_norm(Queue queue, bool official, Matrix x, const float* weight, float eps, Matrix y);

// --- row_jobs.cu: ops on one vector at a time, a warp each ---
struct RowJob {
  enum class Kind : uint8_t { kQuery, kIndexQuery, kStoreKv, kStoreCompressorRows };
  Kind kind = Kind::kQuery;
  Matrix x;                       // q, the output of wkv, or k
  Matrix g;                       // of a compressor
  int32_t head_dim = 0;           // of queries
  const float* weight = nullptr;  // norm or ape
  RotationTable rotations;
  const int32_t* positions = nullptr;  // of a compressor
  int32_t ratio = 1;
  float* out = nullptr;  // raw or state, at rows dst; queries are changed in place
  const int32_t* dst = nullptr;
};
inline constexpr int kRowJobs = 6;
// Up to kRowJobs jobs that do not depend on each other, in one launch.
void run_row_jobs(Queue queue, bool official, float eps, const RowJob* jobs, int count);

// --- compressor.cu ---
struct CompressJob {
  const float* state = nullptr;
  const int32_t* sources = nullptr;
  int64_t count = 0;  // of entries; one without any source is left alone
  int32_t ratio = 1;
  int32_t head_dim = 0;
  const float* norm = nullptr;
  RotationTable rotations;
  bool is_index_key = false;
  float* out = nullptr;
  const int32_t* dst = nullptr;
};
inline constexpr int kCompressJobs = 2;
// Up to kCompressJobs jobs that do not depend on each other, in one launch.
void compress(Queue queue, bool official, float eps, const CompressJob* jobs, int count);

// --- linear.cu: weights of kFp8Block, kFp4Row and kBF16 by tensor core, official numerics ---
struct LinearTask {
  Matrix x;
  Weight weight;
  Matrix y;
  bool quantize = false;  // q8() of the input
  bool round = false;     // rb() of the output
  int groups = 1;
  bool grouped = false;  // the weight has groups, of which this may be one
  ColumnParts parts;
};
inline constexpr int kLinearTasks = 10;
// Whether the tensor-core kernels take this task (K a multiple of 128, groups of whole tiles). All ranks say the same.
bool tensor_core_shape(const LinearTask& task);
// Whether linear_few takes a task of tensor_core_shape:
// at most kFewRows rows, one tile column of the tensor core.
inline constexpr int64_t kFewRows = 8;
bool few_rows(const LinearTask& task);
// Up to kLinearTasks independent products of the same number of rows, in one launch.
void linear_few(Queue queue, const LinearTask* tasks, int count);
// The input as linear_many reads it: rows * cols(x) bf16 values. Tasks of the same_input() share it.
void prepare_input(Queue queue, const LinearTask& task, void* prepared);
bool same_input(const LinearTask& a, const LinearTask& b);
// Any number of rows, 64 at a time.
void linear_many(Queue queue, const LinearTask& task, const void* prepared);

// --- linear_exact.cu: every format and shape, float32 products and sums ---
// `quantized` holds rows * cols(x) floats of scratch where task.quantize, else unused.
void linear_exact(Queue queue, const LinearTask& task, float* quantized);

// --- gemm_operands.cu: for a matrix library (gemm_library.h); columns of x and weights are multiples of 128 ---
// q8() of x as e4m3 codes [rows, cols(x)] and scales [cols(x)/128, rows]. Rows beyond those of x are zeros.
void quantize_operand(Queue queue, Matrix x, int64_t rows, uint8_t* codes, float* scales);
// x, or q8() of it, as bf16 [rows, cols(x)].
void round_operand(Queue queue, Matrix x, int64_t rows, bool quantize, void* values);
// The scales of a kFp8Block weight as float32, `stride` of them from one block of rows to the next.
void widen_scales(Queue queue, const Weight& weight, int64_t stride, float* scales);
// Rows of a kFp8Block weight as bf16, which holds them exactly.
void widen_weight(Queue queue, const Weight& weight, int64_t first_row, int64_t rows, void* values);
// y[r, c] = product[r, c], rows of which have `stride` columns, all used; `round`: rb().
void store_product(Queue queue, const float* product, int64_t stride, bool round, Matrix y);

// --- indexer.cu ---
struct IndexSelectArgs {
  Matrix q;
  Matrix weights;
  float weight_scale = 0.0f;
  const float* keys = nullptr;
  int32_t head_dim = 0;
  EntryView view;
  int32_t first_row = 0;  // of the view and of `selected` and `scores`; q and weights are whole
  int32_t rows = 0;       // rows from first_row
  int32_t visible_max = 0;
  int32_t top_k = 0;
  bool always_score = false;
  float* scores = nullptr;  // [rows from first_row, score_stride]
  int64_t score_stride = 0;
  int32_t* selected = nullptr;  // [all rows, top_k]
};
void index_select(Queue queue, bool official, const IndexSelectArgs& args);

// --- attention.cu ---
struct AttendArgs {
  Matrix q;
  Matrix out;
  const float* raw = nullptr;
  const int32_t* window = nullptr;
  int32_t window_width = 0;
  const float* compressed = nullptr;
  const int32_t* selected = nullptr;
  int32_t selected_width = 0;
  bool has_view = false;
  EntryView view;
  int32_t visible_max = 0;
  const float* sink = nullptr;
  int32_t heads = 0;
  int32_t head_dim = 0;
  RotationTable inverse;
  float* scratch = nullptr;
};
// Bytes of scratch per query row.
size_t attend_scratch_bytes(const AttendArgs& args);
// Rows [first_row, first_row + rows) of the arguments.
void attend(Queue queue, bool official, const AttendArgs& args, int32_t first_row, int32_t rows);

// --- moe.cu, moe_gate.cu, moe_exact.cu ---
struct ExpertTable {
  struct Expert {
    const uint8_t* data[3];  // w1, w3, w2
    const uint8_t* scale[3];
    bool operator==(const Expert&) const = default;
  };
  const Expert* experts = nullptr;  // device memory: the routed experts, then the shared one
  int32_t count = 0;                // routed experts
  WeightFormat routed_format = WeightFormat::kFp4Row;
  WeightFormat shared_format = WeightFormat::kFp8Block;
  int32_t width = 0;        // d
  int32_t inner = 0;        // intermediate columns that are there
  int32_t whole_inner = 0;  // moe intermediate size
  ColumnParts parts;        // of the columns that are there
};
struct RouteCall {
  const float* logits = nullptr;  // [rows, experts]
  int32_t experts = 0;
  const float* bias = nullptr;       // null where there is
  const int32_t* tid2eid = nullptr;  // a table of token ids
  const int32_t* tokens = nullptr;
  int32_t k = 0;
  float route_scale = 0.0f;
  int32_t* ids = nullptr;
  float* weights = nullptr;
};
void route_select(Queue queue, const RouteCall& call, int64_t rows);
// A router that has not been launched: gate.y is its logits.
struct Router {
  LinearTask gate;  // few_rows()
  RouteCall route;
};
size_t moe_scratch_bytes(const ExpertTable& table, int64_t rows, int k, bool official);
// Whether moe() launches a router together with what it does itself.
bool moe_takes_router(const ExpertTable& table, const LinearTask& gate);
// The sum over the shards that are there. `official` takes the tensor-core kernels where the shapes allow; `round`:
// rb(). `tickets`: last_block.cuh. `router` null: ids and weights are there.
void moe(Queue queue, bool official, Matrix x, const ExpertTable& table, const int32_t* ids,
         const float* weights, int k, float swiglu_limit, void* scratch, bool round, Matrix y,
         int32_t* tickets, const Router* router);

// --- shards.cu: between ranks ---
// y[r, c] = the sum over `ranks` ranks of sums[rank, r, c], as a tree; `round`: rb().
void add_ranks(Queue queue, const float* sums, int ranks, bool round, Matrix y);
// packed[r, i] = y[r, first + i], rows of packed have `width` columns, of which `count` are used.
void pack_columns(Queue queue, Matrix y, int64_t first, int64_t count, int64_t width, float* packed);
// y[r, c] = packed[rank, r, c - of.at[rank]] for the rank that owns column c, unless it is `own`.
void unpack_columns(Queue queue, const float* packed, const ColumnParts& of, int own, Matrix y);

}  // namespace ft::cuda
