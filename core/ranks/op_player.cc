#include "core/ranks/op_player.h"

#include <fmt/format.h>

#include "core/ranks/ops.h"

namespace ft::ranks {

namespace {

// What ranks tell each other before anything of a step leaves the engine.
struct Agreement {
  int64_t step = 0;
  uint64_t digest = 0;
  bool operator==(const Agreement&) const = default;
};

}  // namespace

OpPlayer::OpPlayer(Backend& backend, Comm& comm, const Patience& patience)
    : backend_(backend), comm_(comm), patience_(patience) {}

const Buffer& OpPlayer::allocate(BufferId id, size_t bytes) {
  return buffers_.insert_or_assign(id, backend_.allocate(bytes)).first->second;
}

void OpPlayer::play(std::span<const uint8_t> stream) {
  digest_.add(stream.data(), stream.size());
  play_ops(stream);
}

void OpPlayer::play_ops(std::span<const uint8_t> stream) {
  Reader reader(stream, buffers_, catalog_);
  while (!reader.done()) {
    uint8_t code = 0;
    reader(code);
    constexpr size_t kOps = std::tuple_size_v<AllOps>;
    if (code < kOps)
      play_op(code, reader, std::make_index_sequence<kOps>());
    else
      play_verb(static_cast<Verb>(code), reader);
  }
}

template <size_t... index>
void OpPlayer::play_op(uint8_t code, Reader& reader, std::index_sequence<index...>) {
  (void)((code == index && (run<std::tuple_element_t<index, AllOps>>(reader), true)) || ...);
}

template <class Op>
void OpPlayer::run(Reader& reader) {
  Op op{};
  op.fields(reader);
  op.run(backend_);
  if constexpr (std::is_same_v<Op, LinearOp>) {
    if (op.weight.whole == &catalog_->checkpoint().weights().head) head_input_ = op.x;
  }
}

void OpPlayer::play_verb(Verb verb, Reader& reader) {
  BufferId id = 0;
  uint64_t offset = 0, bytes = 0;
  int64_t rows = 0;
  switch (verb) {
    case Verb::kAllocate:
      reader(id, bytes);
      if (!buffers_.contains(id)) allocate(id, bytes);
      return;
    case Verb::kFree:
      reader(id);
      buffers_.erase(id);
      return;
    case Verb::kUpload:
      reader(id, offset, bytes);
      backend_.upload(reader.address(id, offset), reader.raw(bytes).data(), bytes);
      return;
    case Verb::kReserve:
      reader(rows);
      if (catalog_ == nullptr)
        throw RankError("the stream of ops plans scratch before a checkpoint was loaded");
      backend_.reserve(catalog_->checkpoint().config(), rows);
      return;
    case Verb::kAgree:
      return agree();
    case Verb::kIndependent:
      return backend_.begin_independent();
    case Verb::kTogether:
      return backend_.end_independent();
    case Verb::kPromptRows: {
      std::vector<RowRange> ranges;
      for (reader(bytes); ranges.size() < bytes;) {
        RowRange& range = ranges.emplace_back();
        reader(range.first, range.count);
      }
      return backend_.set_prompt_rows(ranges);
    }
    case Verb::kRecord: {
      reader(id, bytes);
      const auto ops = reader.raw(bytes);
      Recording& recording = recordings_[id];
      recording = {{ops.begin(), ops.end()}, {}, backend_.make_graph()};
      return replay(recording);
    }
    case Verb::kReplay: {
      reader(id);
      const auto found = recordings_.find(id);
      if (found == recordings_.end()) throw RankError(fmt::format("recorded step {} is not known", id));
      return replay(found->second);
    }
    case Verb::kForget:
      reader(id);
      recordings_.erase(id);
      return;
  }
  throw RankError(fmt::format("the stream of ops has the unknown op {}", static_cast<int>(verb)));
}

void OpPlayer::replay(Recording& recording) {
  head_input_ = {};
  recording.graph->run([&] {
    play_ops(recording.ops);
    recording.head_input = head_input_;
  });
  head_input_ = recording.head_input;
}

// Everything that a step computed on this rank alone, or on all alike, ends up in what the head reads.
void OpPlayer::agree() {
  if (head_input_.data == nullptr || head_input_.rows == 0) return;
  const auto cols = static_cast<size_t>(head_input_.cols);
  host_input_.resize(static_cast<size_t>(head_input_.rows) * cols);
  if (head_input_.stride == head_input_.cols) {
    backend_.download(host_input_.data(), head_input_.data, host_input_.size() * sizeof(float));
  } else {
    for (int64_t row = 0; row < head_input_.rows; ++row)
      backend_.download(host_input_.data() + static_cast<size_t>(row) * cols, head_input_.row(row),
                        cols * sizeof(float));
  }
  digest_.add(host_input_.data(), host_input_.size() * sizeof(float));
  head_input_ = {};
  const Agreement own{step_, digest_.value()};
  std::vector<Agreement> all(static_cast<size_t>(comm_.size()));
  comm_.all_gather(&own, all.data(), sizeof(own));
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    patience_.alarm().raise_and_throw(
        fmt::format("rank {} differs from rank 0 in step {}: digest {:016x} at step {}, rank 0 has {:016x}",
                    rank, all[0].step, all[rank].digest, all[rank].step, all[0].digest));
  }
  ++step_;
}

}  // namespace ft::ranks
