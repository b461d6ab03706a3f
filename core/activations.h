// Scratch of a forward pass: one set of matrices, sized once for the largest batch, shared by all layers.
#pragma once

#include <cstdint>

#include "core/backend.h"
#include "core/model_config.h"

namespace ft {

// Views have `rows` rows; the memory behind them holds rows_max.
class Activations {
 public:
  Activations(Backend& backend, const ModelConfig& config, int64_t rows_max);

  // Sets the row count of every view below. rows <= rows_max.
  void set_rows(int64_t rows);
  int64_t rows_max() const { return rows_max_; }

  Matrix streams;       // [m, n*d] residual streams
  Matrix input;         // [m, d] normed input of a sub-layer
  Matrix output;        // [m, d] output of a sub-layer
  Matrix post;          // [m, n]
  Matrix comb;          // [m, n*n]
  Matrix query_low;     // [m, q_lora]
  Matrix query_normed;  // [m, q_lora]
  Matrix query;         // [m, H*c]
  Matrix kv;            // [m, c]
  Matrix attended;      // [m, H*c]
  Matrix projected;     // [m, g*o_lora]
  Matrix compressor_k;  // [m, 2*c]: wide enough for the compressor of a CSA layer
  Matrix compressor_g;
  Matrix index_k;  // [m, 2*cI]: the same of its indexer
  Matrix index_g;
  Matrix index_query;            // [m, HI*cI]
  Matrix index_weights;          // [m, HI]
  Matrix route_weights;          // [m, K]
  int32_t* route_ids = nullptr;  // [m, K]
  int32_t* selected = nullptr;   // [m, index_topk]

 private:
  int64_t rows_max_;
  Buffer memory_;
};

}  // namespace ft
