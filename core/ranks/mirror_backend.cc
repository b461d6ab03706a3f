#include "core/ranks/mirror_backend.h"

#include <exception>

#include "core/check.h"
#include "core/ranks/ops.h"

namespace ft::ranks {

namespace {

// A stream of this length is sent although nobody waits for it yet.
constexpr size_t kLongBytes = 1 << 20;

}  // namespace

// A step of fixed shape travels once; later runs are its number.
class MirrorBackend::Graph final : public StepGraph {
 public:
  Graph(MirrorBackend& mirror, uint32_t id) : mirror_(mirror), id_(id) {}
  ~Graph() override {
    if (recorded_) mirror_.verb(Verb::kForget, id_);
  }
  void run(const std::function<void()>& ops) override {
    if (recorded_) {
      mirror_.verb(Verb::kReplay, id_);
      return;
    }
    std::vector<uint8_t> before;
    before.swap(mirror_.stream_);
    mirror_.recording_ = true;
    ops();
    mirror_.recording_ = false;
    before.swap(mirror_.stream_);
    mirror_.verb(Verb::kRecord, id_, static_cast<uint64_t>(before.size()));
    mirror_.writer().raw(before.data(), before.size());
    recorded_ = true;
    mirror_.flush_if_long();
  }

 private:
  MirrorBackend& mirror_;
  uint32_t id_;
  bool recorded_ = false;
};

MirrorBackend::MirrorBackend(Ranks& ranks, uint32_t session, std::unique_ptr<Backend> local)
    : Backend(local->numerics(), local->ranks()),
      ranks_(ranks),
      session_(session),
      local_(std::move(local)),
      limit_(local_->memory_limit()),
      player_(*local_, ranks.comm(), ranks.patience()) {}

MirrorBackend::~MirrorBackend() {
  try {
    // Nobody has waited for what is still in the stream, and the checkpoint that it names may be gone.
    ranks_.close_session(session_);
  } catch (const std::exception&) {
    // The alarm has the reason, and every rank ends.
  }
}

void MirrorBackend::bind(const Checkpoint& checkpoint, MemoryLimit limit) {
  catalog_ = std::make_unique<WeightCatalog>(checkpoint);
  player_.bind(*catalog_);
  limit_ = std::move(limit);
}

std::string MirrorBackend::description() const {
  return fmt::format("{}, {} ranks", local_->description(), ranks_.size());
}

template <class... Fields>
void MirrorBackend::verb(Verb verb, const Fields&... fields) {
  writer()(verb, fields...);
}

template <class Op>
void MirrorBackend::write(Op op) {
  Writer to = writer();
  to(op_code<Op>());
  op.fields(to);
  if (!recording_) flush_if_long();
}

void MirrorBackend::flush_if_long() {
  if (stream_.size() >= kLongBytes) flush();
}

void MirrorBackend::flush() {
  ranks_.alarm().check();
  if (stream_.empty()) return;
  const std::lock_guard lock(ranks_.mutex());
  const Computing computing(ranks_.patience());
  ranks_.channel().send(MessageKind::kOps, session_, stream_);
  try {
    player_.play(stream_);
  } catch (const RankError& error) {
    ranks_.alarm().raise_and_throw(fmt::format("{}: {}", ranks_.name(0), error.what()));
  } catch (const std::exception& error) {
    // The others have gone on with the stream: nothing brings this rank back to where they are.
    ranks_.alarm().raise_and_throw(fmt::format("{} failed in an op: {}", ranks_.name(0), error.what()));
  }
  stream_.clear();
}

Buffer MirrorBackend::allocate(size_t bytes) {
  const BufferId id = ++buffers_made_;
  const Buffer& made = player_.allocate(id, bytes);
  book_.add(id, made.data(), bytes);
  verb(Verb::kAllocate, id, static_cast<uint64_t>(bytes));
  return Buffer(made.data(), bytes, [this, id](void* data) {
    // The memory itself is freed when the stream is played: ops before it may use it.
    book_.remove(data);
    verb(Verb::kFree, id);
  });
}

void MirrorBackend::upload(void* destination, const void* host, size_t bytes) {
  if (bytes == 0) return;
  const AddressBook::Place place = book_.find(destination);
  verb(Verb::kUpload, place.buffer, place.offset, static_cast<uint64_t>(bytes));
  writer().raw(host, bytes);
  flush_if_long();
}

void MirrorBackend::download(void* host, const void* source, size_t bytes) {
  verb(Verb::kAgree);
  flush();
  local_->download(host, source, bytes);
}

void MirrorBackend::copy_rows(void* destination, const void* source, int64_t row_bytes, const int32_t* src,
                              const int32_t* dst, int64_t count) {
  write(CopyRowsOp{destination, source, row_bytes, src, dst, count});
}

std::unique_ptr<StepGraph> MirrorBackend::make_graph() {
  // Elsewhere the ops of a shape differ from run to run.
  if (!local_->fixed_shapes()) return std::make_unique<StepGraph>();
  return std::make_unique<Graph>(*this, ++graphs_made_);
}

void MirrorBackend::set_prompt_rows(std::span<const RowRange> ranges) {
  verb(Verb::kPromptRows, static_cast<uint64_t>(ranges.size()));
  for (const RowRange& range : ranges) writer()(range.first, range.count);
}

void MirrorBackend::begin_independent() {
  verb(Verb::kIndependent);
}

void MirrorBackend::end_independent() {
  verb(Verb::kTogether);
}

void MirrorBackend::do_reserve(const ModelConfig& config, int64_t rows) {
  FT_CHECK(catalog_ != nullptr && &config == &catalog_->checkpoint().config());
  verb(Verb::kReserve, rows);
}

void MirrorBackend::do_embed(const int32_t* tokens, const Weight& table, int stream_count, Matrix streams) {
  write(EmbedOp{tokens, WeightArgument(table), stream_count, streams});
}

void MirrorBackend::do_gather_rows(const int32_t* ids, const Weight& table, Matrix out) {
  write(GatherRowsOp{ids, WeightArgument(table), out});
}

void MirrorBackend::do_hc_pre(Matrix streams, const HyperConnectionWeights& hc, Vector norm, Matrix y,
                              Matrix post, Matrix comb) {
  write(HcPreOp{streams, &hc, norm, y, post, comb});
}

void MirrorBackend::do_hc_post(Matrix streams, const SublayerOutput& before) {
  write(HcPostOp{streams, before});
}

void MirrorBackend::do_hc_post_pre(Matrix streams, const SublayerOutput& before,
                                   const HyperConnectionWeights& hc, Vector norm, Matrix y, Matrix post,
                                   Matrix comb) {
  write(HcPostPreOp{streams, before, &hc, norm, y, post, comb});
}

void MirrorBackend::do_hc_head(Matrix streams, const HeadCollapseWeights& head, Matrix y) {
  write(HcHeadOp{streams, &head, y});
}

void MirrorBackend::do_stream_mean(Matrix streams, int stream_count, Matrix out) {
  write(StreamMeanOp{streams, stream_count, out});
}

void MirrorBackend::do_combine_streams(Matrix e, Matrix h, Matrix streams) {
  write(CombineStreamsOp{e, h, streams});
}

void MirrorBackend::do_rms_norm(Matrix x, Vector weight, Matrix y) {
  write(RmsNormOp{x, weight, y});
}

void MirrorBackend::do_linear(const LinearCall& call) {
  write(LinearOp{call.x, WeightArgument(*call.weight), call.y, call.input, call.output, call.groups});
}

void MirrorBackend::do_linears(std::span<const LinearCall> calls) {
  write(LinearsOp{{calls.begin(), calls.end()}});
}

void MirrorBackend::do_shard_linear(const LinearCall& call, int64_t unit) {
  write(ShardLinearOp{call.x, WeightArgument(*call.weight), unit, call.y, call.input, call.output});
}

void MirrorBackend::do_gather_columns(Matrix y, int64_t unit) {
  write(GatherColumnsOp{y, unit});
}

void MirrorBackend::do_query_norm_rope(Matrix q, int64_t head_dim, int head_unit, Rotations rotations) {
  write(QueryNormRopeOp{q, head_dim, head_unit, rotations});
}

void MirrorBackend::do_store_kv(Matrix x, Vector norm, Rotations rotations, CacheRows raw,
                                const int32_t* dst) {
  write(StoreKvOp{x, norm, rotations, raw, dst});
}

void MirrorBackend::do_store_compressor_rows(Matrix k, Matrix g, Vector ape, const int32_t* positions,
                                             int ratio, float* state, const int32_t* dst) {
  write(StoreCompressorRowsOp{k, g, ape, positions, ratio, state, dst});
}

void MirrorBackend::do_compress(const float* state, const int32_t* sources, int64_t count, int ratio,
                                int64_t head_dim, Vector norm, Rotations rotations, bool is_index_key,
                                CacheRows out, const int32_t* dst) {
  write(CompressOp{state, sources, count, ratio, head_dim, norm, rotations, is_index_key, out, dst});
}

void MirrorBackend::do_index_query(Matrix q, int64_t head_dim, Rotations rotations) {
  write(IndexQueryOp{q, head_dim, rotations});
}

void MirrorBackend::do_index_select(Matrix q, Matrix weights, float weight_scale, KeyRows keys,
                                    int64_t head_dim, const CompressedView& view, int top_k,
                                    int32_t* selected, Matrix* scores) {
  write(IndexSelectOp{q, weights, weight_scale, keys, head_dim, view, top_k, selected, scores != nullptr,
                      scores != nullptr ? *scores : Matrix()});
}

void MirrorBackend::do_attend(const AttentionArgs& args) {
  const bool sees_all = args.all_visible != nullptr;
  write(AttendOp{args, sees_all, sees_all ? *args.all_visible : CompressedView()});
}

void MirrorBackend::do_route(Matrix x, const MoeWeights& moe, const int32_t* tokens, int k, float route_scale,
                             int32_t* ids, float* weights) {
  write(RouteOp{x, &moe, tokens, k, route_scale, ids, weights});
}

void MirrorBackend::do_moe(Matrix x, const MoeWeights& moe, const int32_t* ids, const float* weights, int k,
                           float swiglu_limit, Matrix y) {
  write(MoeOp{x, &moe, ids, weights, k, swiglu_limit, y});
}

}  // namespace ft::ranks
