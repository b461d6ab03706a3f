// The command `draft`: what the drafts of a checkpoint compute after given sequences, for comparison with
// other implementations.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/weights.h"

namespace ft::eval {

// Drafts once behind each sequence and writes what the draft computed to the safetensors file `out_path`. The
// target reads sequence i (T tokens) in chunks of `chunk` rows; its greedy next token is the anchor, at
// position T. Tensors of sequence i, F32 unless stated:
//   with a DSpark draft of block size g
//     anchor.i I32 [1]
//     base_logits.i [g, V]
//     logits.i [g, V]            with the Markov bias along the greedy path
//     confidence.i [g]           raw logits
//     tokens.i I32 [g]           greedy drafts
//   with an MTP block
//     mtp_input_ids.i I32 [T]    row t has token t + 1; the last one has the anchor
//     mtp_logits.i [T, V]        row t, from the streams at t and that token
// kInvalidArgument if the checkpoint has neither draft, or for an empty sequence or a token outside the
// vocabulary; kTooLarge beyond max_position_embeddings; what write_safetensors returns.
Result<void> run_draft(Backend& backend, const Checkpoint& checkpoint,
                       std::span<const std::vector<int32_t>> sequences, const std::string& out_path,
                       int32_t chunk = 128);

}  // namespace ft::eval
