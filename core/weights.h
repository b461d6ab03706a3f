// The weight tree of a checkpoint: every tensor is named once, in visit_weights, which load, check and size
// all use. Source: docs/spec/model.md 2.2 (main model, MTP), docs/spec/dspark.md 1.9 (DSpark stages).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/layer_kind.h"
#include "core/mapped_file.h"
#include "core/model_config.h"
#include "core/ranks/comm.h"
#include "core/tensor.h"

namespace ft {

// Puts the bytes of a loaded weight where the ops that will read them can reach them. Every backend is one.
class WeightPlacer {
 public:
  virtual ~WeightPlacer() = default;
  // An address of `bytes` at `host` which the ops of the backend may read: `host` itself on a CPU, a copy on
  // a device. Valid as long as the placer lives. Where it is `host` itself, the caller keeps that alive and
  // unchanged as long; otherwise `host` is no longer read.
  // Null where the memory of the device does not suffice. `host` is aligned to its element size.
  virtual const void* place(const void* host, size_t bytes) = 0;
  // Which of the ranks that share the weights this one is.
  virtual RankGroup ranks() const { return {}; }
};

// Hyper-connection mix of one sub-layer (docs/spec/model.md 3.2).
// fn [(2+n)n, n*d] F32; base [(2+n)n]; scale [3].
struct HyperConnectionWeights {
  Weight fn;
  Vector base;
  Vector scale;
};

// Collapse of the n streams before a head (docs/spec/model.md 3.10). fn [n, n*d] F32; base [n]; scale [1].
struct HeadCollapseWeights {
  Weight fn;
  Vector base;
  Vector scale;
};

// Compressor of a CSA/HCA layer or of its indexer (docs/spec/model.md 3.5).
// Width w = pooled_blocks(ratio) * c; ape [ratio, w].
struct CompressorWeights {
  Weight wkv;    // [w, d] BF16
  Weight wgate;  // [w, d] BF16
  Vector ape;    // [ratio * w]
  Vector norm;   // [c]
};

// Lightning indexer of a CSA layer (docs/spec/model.md 3.6).
struct IndexerWeights {
  Weight wq_b;          // [HI*cI, q_lora] FP8
  Weight weights_proj;  // [HI, d] BF16
  CompressorWeights compressor;
};

struct AttentionWeights {
  Weight wq_a;  // [q_lora, d]
  Vector q_norm;
  Weight wq_b;  // [H*c, q_lora]
  Weight wkv;   // [c, d]
  Vector kv_norm;
  Weight wo_a;                   // [g*o_lora, H*c/g]
  Weight wo_b;                   // [d, g*o_lora]
  Vector sink;                   // [H]
  CompressorWeights compressor;  // of CSA and HCA layers
  IndexerWeights indexer;        // of CSA layers
};

struct ExpertWeights {
  Weight w1;  // gate [moe, d]
  Weight w3;  // up   [moe, d]
  Weight w2;  // down [d, moe]
};

struct MoeWeights {
  Weight gate;  // [E, d] BF16
  Vector bias;  // [E]; absent in hash layers
  // [V, K] in hash layers, narrowed from I64; ids are checked against E at load.
  const int32_t* tid2eid = nullptr;
  // The same in host memory (on a CPU the same address), for whoever prices a row before it is run.
  const int32_t* host_tid2eid = nullptr;
  std::vector<ExpertWeights> experts;
  ExpertWeights shared;
};

// One block: attention and MoE, each behind its hyper-connection.
struct BlockWeights {
  int ratio = 0;  // of compression, 0 for none
  LayerKind kind() const { return layer_kind(ratio); }
  HyperConnectionWeights hc_attn;
  HyperConnectionWeights hc_ffn;
  Vector attn_norm;
  Vector ffn_norm;
  AttentionWeights attn;
  MoeWeights ffn;
};

// Multi-token prediction block (docs/spec/model.md 3.11); embed and head are the main model's.
struct MtpWeights {
  BlockWeights block;
  Weight e_proj;  // [d, d]
  Weight h_proj;  // [d, d]
  Vector enorm;
  Vector hnorm;
  Vector norm;
  HeadCollapseWeights head;
};

// DSpark draft (docs/spec/dspark.md 1.9).
// Stages share main_proj's output; head, Markov and confidence sit on the last stage.
struct DsparkWeights {
  Weight main_proj;  // [d, auxiliary_cols]
  Vector main_norm;
  std::vector<BlockWeights> stages;
  Vector norm;
  HeadCollapseWeights head;
  Weight markov_w1;   // [V, r] BF16
  Weight markov_w2;   // [V, r] BF16
  Weight confidence;  // [1, d+r] BF16
};

struct ModelWeights {
  Weight embed;  // [V, d] BF16
  Weight head;   // [V, d] BF16
  Vector norm;
  HeadCollapseWeights head_collapse;
  std::vector<BlockWeights> layers;
  std::vector<MtpWeights> mtp;            // empty when the checkpoint has none
  std::unique_ptr<DsparkWeights> dspark;  // null when the checkpoint has none
};

// Which side of a linear weight shards divide (core/shards.h).
enum class ShardSide : uint8_t { kRows, kCols };

// The shape of what a rank owns of a [rows, cols] weight; without data.
Weight own_shape(int64_t rows, int64_t cols, WeightFormat format, ShardSide side, int64_t unit,
                 const RankGroup& ranks);

// Receives every tensor of the tree once, in checkpoint order. `name` is the official one without a suffix
// for its scale.
class WeightVisitor {
 public:
  virtual ~WeightVisitor() = default;
  // A linear weight: `name`.weight and, for fp8/fp4, `name`.scale. Shape and format are what the config
  // demands.
  virtual void linear(const std::string& name, Weight& weight, int64_t rows, int64_t cols,
                      WeightFormat format) = 0;
  // The same, of which each rank owns the rows or columns of its shards, which are cut by `unit` of them. `rows` and
  // `cols` are those of the whole.
  virtual void sharded_linear(const std::string& name, Weight& weight, int64_t rows, int64_t cols,
                              WeightFormat format, ShardSide side, int64_t unit) {
    static_cast<void>(side);
    static_cast<void>(unit);
    linear(name, weight, rows, cols, format);
  }
  // A plain tensor stored as F32 or BF16 under exactly `name`, widened to float32.
  virtual void vector(const std::string& name, Vector& vector, std::vector<int64_t> shape, DType stored) = 0;
  // A plain float32 matrix under exactly `name` (hyper-connection fn).
  virtual void matrix(const std::string& name, Weight& weight, int64_t rows, int64_t cols) = 0;
  // I64 [rows, cols] under exactly `name`, values in [0, limit), narrowed to int32: where the ops read it,
  // and the same in host memory.
  virtual void table(const std::string& name, const int32_t*& table, const int32_t*& host, int64_t rows,
                     int64_t cols, int64_t limit) = 0;
};

// Visits the tree that `config` describes; sizes the vectors (layers, experts, stages) first. The model without
// its drafts, these (nothing where `config` has none), and both.
void visit_model(const ModelConfig& config, ModelWeights& weights, WeightVisitor& visitor);
void visit_drafts(const ModelConfig& config, ModelWeights& weights, WeightVisitor& visitor);
void visit_weights(const ModelConfig& config, ModelWeights& weights, WeightVisitor& visitor);

// How many tensors the checkpoint of `config` stores (scales count), and the bytes of their data.
struct CheckpointSize {
  int64_t tensors = 0;
  int64_t bytes = 0;
};
CheckpointSize checkpoint_size(const ModelConfig& config);

// Bytes of a checkpoint's files that one rank reads.
struct RankShare {
  int64_t replicated = 0;  // of tensors that every rank reads whole
  int64_t sharded = 0;     // its rows and columns of the others
  int64_t copied = 0;      // of these, what is held in memory of its own instead of the mapped files: columns

  int64_t total() const { return replicated + sharded; }
  bool operator==(const RankShare&) const = default;
};
// What the rank is to read, by the config alone.
RankShare rank_share(const ModelConfig& config, const RankGroup& ranks);

// The tensors of one part of a model ("routed experts") as they are stored.
struct WeightPart {
  std::string name;
  std::vector<std::string> formats;  // "F8_E4M3 + F8_E8M0", each once
  int64_t tensors = 0;
  int64_t bytes = 0;
};

class SafetensorsIndex;

// The files of a checkpoint, opened and checked as far as that needs none of its weights.
struct CheckpointFiles {
  // The directory `path`: config.json, and the shards of model.safetensors.index.json or model.safetensors. Errors name
  // the file.
  static Result<CheckpointFiles> open(const std::string& path);
  CheckpointFiles();
  ~CheckpointFiles();
  CheckpointFiles(CheckpointFiles&&) noexcept;
  CheckpointFiles& operator=(CheckpointFiles&&) noexcept;

  std::string config_text;
  ModelConfig config;
  std::vector<std::string> warnings;  // about config.json
  std::unique_ptr<SafetensorsIndex> index;
};

// A loaded checkpoint: the tree, and what keeps its memory alive (mapped shards, widened vectors).
class Checkpoint {
 public:
  // Loads what the rank of the placer needs of the files. Linear weights stay where they are mapped
  // on the CPU; `placer.place` (the backend) copies them where it needs that. Every tensor is checked for
  // presence, dtype and shape before anything is placed; the error names file, tensor, value seen and value
  // expected. Block scales are F8_E8M0, or F32 where every one is a power of two. A tensor of layers.* that
  // the config has no place for is an error (the two contradict each other). What a draft lacks only costs
  // the draft: the checkpoint is then loaded without it. Names may carry the Hugging Face prefix "model.".
  // `progress(done_bytes, total_bytes)` is called now and then and once at the end; may be empty. `placer`
  // outlives the checkpoint. Call on any thread.
  static Result<std::unique_ptr<Checkpoint>> load(CheckpointFiles files, WeightPlacer& placer,
                                                  const std::function<void(int64_t, int64_t)>& progress = {});
  // Of the directory `path`.
  static Result<std::unique_ptr<Checkpoint>> load(const std::string& path, WeightPlacer& placer,
                                                  const std::function<void(int64_t, int64_t)>& progress = {});
  ~Checkpoint();

  const ModelConfig& config() const { return config_; }
  const ModelWeights& weights() const { return weights_; }
  // Bytes of the weights of this rank as stored in the files.
  int64_t weight_bytes() const { return share_.total(); }
  // The same by kind: what was read.
  const RankShare& share() const { return share_; }
  // What was found, by part of the model, as far as this rank reads it.
  const std::vector<WeightPart>& parts() const { return parts_; }
  // A line for each thing that was assumed or left out.
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Why the draft that config.json describes was left out; "" where it was not.
  const std::string& draft_problem() const { return draft_problem_; }
  // The files that weights are read from as long as they are used; none where the placer copied them.
  const std::vector<std::shared_ptr<const MappedFile>>& mapped_files() const { return mapped_files_; }

 private:
  struct Storage;
  Checkpoint();
  Result<void> fill(WeightPlacer& placer, const std::function<void(int64_t, int64_t)>& progress);

  ModelConfig config_;
  ModelWeights weights_;
  RankShare share_;
  std::vector<WeightPart> parts_;
  std::vector<std::string> warnings_;
  std::string draft_problem_;
  std::vector<std::shared_ptr<const MappedFile>> mapped_files_;
  std::unique_ptr<Storage> storage_;
};

}  // namespace ft
