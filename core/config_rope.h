// The rotary embedding of a config.json, in the spellings that exist. Part of model_config.cc.
#pragma once

#include "core/config_keys.h"
#include "core/model_config.h"

namespace ft {

// Reads bases, YaRN and the width of the rotation into `config`, whose head_dim is known:
//   rope_theta, compress_rope_theta, rope_scaling {type: yarn, ...}, qk_rope_head_dim    as published
//   rope_parameters {rope_type: yarn, ...}                                               flat
//   rope_parameters {main: {rope_type: default, rope_theta}, compress: {rope_type: yarn, rope_theta, ...}}
//   rope_parameters {sliding_attention, compressed_sparse_attention, heavily_compressed_attention}
// and partial_rotary_factor for the width. Where a file says a thing twice, both must agree.
void read_rope(const ConfigKeys& keys, ModelConfig& config);

}  // namespace ft
