// Which kind each layer of a config.json is, in the spellings that exist. Part of model_config.cc.
#pragma once

#include "core/config_keys.h"
#include "core/model_config.h"

namespace ft {

// Reads into `config`, whose num_hidden_layers, num_nextn_predict_layers and dspark are known:
//   compress_ratios [0, 4, 128, ...] of all layers and draft blocks, num_hash_layers      as published
//   layer_types [sliding_attention, compressed_sparse_attention, heavily_compressed_attention],
//     compress_rates {compressed_sparse_attention: 4, heavily_compressed_attention: 128}
//   mlp_layer_types [hash_moe, ..., moe, ...]
// Where a file says a thing twice, both must agree. Settles how many draft blocks there are.
void read_layers(const ConfigKeys& keys, ModelConfig& config);

}  // namespace ft
