#include "eval/simulate/virtual_executor.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/check.h"
#include "draft/drafter_registry.h"
#include "eval/known_target.h"

namespace ft::eval {

namespace {

constexpr int32_t kVocab = 1 << 17;
// Nodes of a level whose children are considered.
constexpr int32_t kFrontier = 8;
// Times that each cost is taught: the price of experts is learned from what was seen before at as many rows.
constexpr int kLessons = 3;

uint64_t mix(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// In (0, 1).
double unit(uint64_t bits) {
  return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53;
}

// Standard normal (Box and Muller).
double normal(uint64_t bits) {
  return std::sqrt(-2.0 * std::log(unit(mix(bits ^ 1)))) *
         std::cos(2.0 * std::numbers::pi * unit(mix(bits ^ 2)));
}

size_t domain_of(uint64_t seed) {
  return static_cast<size_t>(seed & 0xff);
}

}  // namespace

Result<SequenceId> VirtualSequences::open(const scheduler::OpenSequence& wish) {
  if (wish.length > tokens_max_)
    return fail(ErrorCode::kTooLarge, "{} tokens exceed the memory of {}", wish.length, tokens_max_);
  const auto found = std::ranges::find(sequences_, false, &Sequence::is_open);
  if (found == sequences_.end() || wish.length > unreserved_tokens())
    return fail(ErrorCode::kOverloaded, "{} sequences are open, {} tokens are left", open_,
                unreserved_tokens());
  *found = {true, 0, wish.length};
  reserved_ += wish.length;
  ++open_;
  return static_cast<SequenceId>(found - sequences_.begin());
}

Result<void> VirtualSequences::grow(SequenceId sequence, int64_t length) {
  Sequence& own = sequences_[static_cast<size_t>(sequence)];
  if (length <= own.reserved) return {};
  if (length > tokens_max_)
    return fail(ErrorCode::kTooLarge, "{} tokens exceed the memory of {}", length, tokens_max_);
  if (length - own.reserved > unreserved_tokens())
    return fail(ErrorCode::kOverloaded, "{} tokens are left", unreserved_tokens());
  reserved_ += length - own.reserved;
  own.reserved = length;
  return {};
}

void VirtualSequences::close(SequenceId sequence) {
  Sequence& own = sequences_[static_cast<size_t>(sequence)];
  FT_CHECK(own.is_open, sequence);
  reserved_ -= own.reserved;
  own = {};
  --open_;
}

VirtualExecutor::VirtualExecutor(const VirtualModel& model, const StepCosts& costs,
                                 const AcceptanceSource& acceptance, int32_t sequences_max,
                                 int64_t tokens_max, uint64_t seed)
    : model_(model),
      costs_(costs),
      acceptance_(acceptance),
      sequences_(sequences_max, tokens_max),
      seed_(seed),
      outcomes_(static_cast<size_t>(sequences_max)) {
  FT_CHECK(acceptance.domains().size() <= 256, acceptance.domains().size());
  info_.machine = "simulated";
  info_.model = model.name;
  const bool drafts = model.depth.trained > 0;
  info_.drafter = draft::drafter_name(drafts ? "dspark" : "", false);
  if (drafts) info_.model_drafter = info_.drafter;
  info_.draft_depth_max = model.depth.most;
  info_.model_depth = model.depth;
  info_.vocab = kVocab;
  info_.experts_per_row = model.experts.layers * model.experts.per_token;
  info_.experts_all = model.experts.layers * model.experts.experts;
  info_.experts.experts = static_cast<int32_t>(model.experts.experts);
  info_.experts.per_token = static_cast<int32_t>(model.experts.per_token);
  info_.experts.score_layers = static_cast<int32_t>(model.experts.layers);
  info_.experts.vocab = kVocab;
}

void VirtualExecutor::measure(scheduler::CostModel& costs) {
  for (const scheduler::CostCurve::Point& point : costs.verify_curve().points())
    for (int lesson = 0; lesson < kLessons; ++lesson)
      // Rows that choose their experts by themselves, and rows that follow one another.
      for (const double drafted : {0.0, point.x - 1.0}) {
        const StepShape shape{point.x - drafted, drafted, 0.0,
                              model_.experts.distinct(point.x - drafted, drafted)};
        costs.observe_verify(static_cast<int32_t>(point.x), shape.experts, costs_.step_seconds(shape));
      }
  if (model_.depth.trained > 0)
    for (const scheduler::CostCurve::Point& point : costs.draft_curve().points())
      costs.observe_draft(static_cast<int32_t>(point.x), 0,
                          costs_.draft_seconds(point.x / model_.depth.trained));
  costs.settle();
}

VirtualExecutor::Node VirtualExecutor::node_behind(uint64_t seed, int32_t token, int depth) const {
  Node node;
  node.key =
      mix(seed_ ^
          mix(seed ^ mix(steps_ << 24 ^ static_cast<uint64_t>(token) << 5 ^ static_cast<uint64_t>(depth))));
  node.log_odds = acceptance_.log_odds(domain_of(seed), depth + 1, normal(node.key));
  return node;
}

int32_t VirtualExecutor::child_token(const Node& node, int rank) {
  return static_cast<int32_t>(node.key % static_cast<uint64_t>(kVocab - draft::kBranchMax - 1)) + rank;
}

int32_t VirtualExecutor::target_token(uint64_t seed, int32_t token, int depth) const {
  const Node node = node_behind(seed, token, depth);
  const DepthRates& rates = acceptance_.rates(domain_of(seed), depth + 1);
  const double first = 1.0 / (1.0 + std::exp(-node.log_odds));
  const double chances[] = {first, rates.second, rates.third};
  double left = unit(mix(node.key ^ 3));
  for (int rank = 0; rank < draft::kBranchMax; ++rank) {
    if (left < chances[rank]) return child_token(node, rank);
    left = (left - chances[rank]) / (1.0 - chances[rank]);
  }
  return child_token(node, draft::kBranchMax);  // one that nobody drafts
}

double VirtualExecutor::propose(const scheduler::DraftBatch& batch) {
  ++steps_;
  for (size_t i = 0; i < batch.requests.size(); ++i) {
    const draft::ProposeRequest& asked = batch.requests[i];
    const bool deep = asked.model_depth > model_.depth.trained && asked.nodes_max > model_.depth.trained;
    builder_.start(asked, draft::DraftSource::kModel, deep ? model_.depth.most : model_.depth.trained,
                   kFrontier);
    for (; !builder_.frontier().empty(); builder_.descend())
      for (const int32_t parent : builder_.frontier()) {
        const int32_t token = parent == draft::TreeBuilder::kAnchor ? asked.anchor : builder_.token(parent);
        const Node node = node_behind(asked.seed, token, builder_.depth());
        const DepthRates& rates = acceptance_.rates(domain_of(asked.seed), builder_.depth() + 1);
        const draft::TreeBuilder::Child children[] = {
            {child_token(node, 0), draft::bounded_score(static_cast<float>(node.log_odds))},
            {child_token(node, 1), draft::log_odds(static_cast<float>(rates.second))},
            {child_token(node, 2), draft::log_odds(static_cast<float>(rates.third))}};
        builder_.expand(parent, children);
      }
    builder_.finish(batch.trees[i]);
  }
  return costs_.draft_seconds(static_cast<double>(batch.requests.size()));
}

const scheduler::StepOutcome& VirtualExecutor::step(const scheduler::StepBatch& batch) {
  FT_CHECK(batch.requests.size() <= outcomes_.size(), batch.requests.size());
  double sampling = 0.0;
  for (size_t i = 0; i < batch.requests.size(); ++i) {
    const scheduler::StepRequest& request = batch.requests[i];
    const auto target = [&](int32_t token, int depth) {
      return target_token(request.params->seed, token, depth);
    };
    verify_known(request, static_cast<float>(model_.experts.overlap), target, outcomes_[i]);
    sampling += request.samples() ? 1.0 : 0.0;
    if (request.known > 0 && !outcomes_[i].ends())
      sequences_.append(request.sequence,
                        request.known + std::max<int64_t>(0, outcomes_[i].verified.accepted()));
  }
  StepShape shape;
  shape.requests = sampling;
  shape.drafted = static_cast<double>(batch.logit_rows.size()) - sampling;
  shape.prompt_rows = static_cast<double>(batch.rows.size() - batch.logit_rows.size());
  shape.experts = model_.experts.distinct(sampling + shape.prompt_rows, shape.drafted);
  outcome_.requests = std::span(outcomes_).first(batch.requests.size());
  outcome_.distinct_experts = static_cast<int64_t>(shape.experts);
  outcome_.verify_seconds = costs_.step_seconds(shape);
  return outcome_;
}

}  // namespace ft::eval
