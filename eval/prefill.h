// Runs whole token sequences through the main model, chunk by chunk, for the commands that look at logits.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/model.h"

namespace ft::eval {

// Receives the forward call of rows [first, first + count) of the sequence, before the rows are committed.
using ChunkVisitor = std::function<void(const ForwardOutput& output, int64_t first, int64_t count)>;

// Appends `tokens` to `sequence` of model.cache() in chunks of at most `chunk` rows, asking for the logits of
// every row.
void prefill(Model& model, SequenceId sequence, std::span<const int32_t> tokens, int64_t chunk,
             const ChunkVisitor& visit);

// Logits [tokens.size(), V] of a fresh sequence. kInvalidArgument for an empty sequence or a token outside
// the vocabulary, kTooLarge beyond the context of the model's cache.
Result<std::vector<float>> sequence_logits(Model& model, std::span<const int32_t> tokens, int64_t chunk);

}  // namespace ft::eval
