// Sub-layers of a golden checkpoint composed from ops, for one sequence prefilled from position 0, with every
// intermediate that the goldens record. A second, plainer composition than core/attention.cc on purpose.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model_config.h"
#include "tests/support/backend_memory.h"
#include "tests/support/golden_file.h"

namespace ft::test {

// A golden checkpoint directory and its weights by name.
class GoldenCheckpoint {
 public:
  explicit GoldenCheckpoint(const std::string& directory);

  const ModelConfig& config() const { return config_; }
  const GoldenFile& tensors() const { return tensors_; }
  BlockWeights block(BackendMemory& memory, int layer) const;
  Weight linear(BackendMemory& memory, const std::string& name) const;
  Vector vector(BackendMemory& memory, const std::string& name) const;
  // `prefix` "layers.0.hc_attn", or "hc_head" for the collapse.
  HyperConnectionWeights hyper_connection(BackendMemory& memory, const std::string& prefix) const;

 private:
  CompressorWeights compressor(BackendMemory& memory, const std::string& prefix) const;
  ExpertWeights expert(BackendMemory& memory, const std::string& prefix) const;

  ModelConfig config_;
  GoldenFile tensors_;
};

struct CompressorRun {
  const float* entries = nullptr;  // [count, c] in backend memory
  int64_t count = 0;
  std::vector<float> values;  // the same on the host
  std::vector<float> state;   // [rows, 2 * width]: every row's k and u
};

// Rows of `x` are positions 0, 1, ...; state and entries start empty.
CompressorRun run_compressor(BackendMemory& memory, const ModelConfig& config,
                             const CompressorWeights& weights, int ratio, int64_t head_dim, bool is_index_key,
                             Matrix x);

struct IndexerRun {
  int32_t* selected = nullptr;  // [rows, top_k] in backend memory
  std::vector<float> q;
  std::vector<float> weights;   // after the scale, [rows, HI]
  std::vector<float> scores;    // [rows, entries], -inf where not visible
  std::vector<int32_t> chosen;  // [rows, top_k]
  CompressorRun keys;
};

// `low`: the normed query of low rank; `x`: the sub-layer input.
IndexerRun run_indexer(BackendMemory& memory, const ModelConfig& config, const IndexerWeights& weights,
                       Matrix low, Matrix x);

struct AttentionRun {
  std::vector<float> q;
  std::vector<float> kv;    // window rows, then compressed entries
  std::vector<float> core;  // before the inverse rotation
  std::vector<float> out;
  CompressorRun compressor;
  IndexerRun indexer;
};

AttentionRun run_attention(BackendMemory& memory, const ModelConfig& config, const BlockWeights& block,
                           Matrix x);

struct MoeRun {
  std::vector<int32_t> ids;  // [rows, k]
  std::vector<float> weights;
  std::vector<float> out;
};

MoeRun run_moe(BackendMemory& memory, const ModelConfig& config, const MoeWeights& weights,
               const std::vector<int32_t>& tokens, Matrix x);

}  // namespace ft::test
