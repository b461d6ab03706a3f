// Runs a stream of ops on the backend of one rank. Rank 0 and its followers play the same bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/backend.h"
#include "core/ranks/comm.h"
#include "core/ranks/digest.h"
#include "core/ranks/op_stream.h"
#include "core/ranks/waiting.h"

namespace ft::ranks {

class OpPlayer {
 public:
  // `comm` carries the digests, in host memory. All outlive the player.
  OpPlayer(Backend& backend, Comm& comm, const Patience& patience);

  // The weights that ops from now on may name.
  void bind(const WeightCatalog& catalog) { catalog_ = &catalog; }
  // What a stream that is played later says too, where the address is needed at once.
  const Buffer& allocate(BufferId id, size_t bytes);
  // RankError where the stream is not one that this rank can play, or where the ranks differ.
  void play(std::span<const uint8_t> stream);
  int64_t steps() const { return step_; }

 private:
  struct Recording {
    std::vector<uint8_t> ops;
    Matrix head_input;
    std::unique_ptr<StepGraph> graph;
  };

  void play_ops(std::span<const uint8_t> stream);
  void play_verb(Verb verb, Reader& reader);
  template <size_t... index>
  void play_op(uint8_t code, Reader& reader, std::index_sequence<index...>);
  template <class Op>
  void run(Reader& reader);
  void replay(Recording& recording);
  void agree();

  Backend& backend_;
  Comm& comm_;
  const Patience& patience_;
  const WeightCatalog* catalog_ = nullptr;
  BufferTable buffers_;
  std::unordered_map<uint32_t, Recording> recordings_;
  Digest digest_;
  Matrix head_input_;  // of the logits that were last computed, until the ranks have agreed on it
  std::vector<float> host_input_;
  int64_t step_ = 0;
};

}  // namespace ft::ranks
