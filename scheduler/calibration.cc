#include "scheduler/calibration.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/check.h"
#include "core/keyed_ranking.h"

namespace ft::scheduler {

namespace {

// Outcomes that shape an estimate: about the last 1 / (1 - keep) count.
constexpr double kFitKeep = 1.0 - 1.0 / 4000.0;
// Standard deviations of what the parameters are believed to be before anything was observed.
constexpr double kScaleSpread = 0.5;
constexpr double kOffsetSpread = 1.0;
// Nothing that few outcomes say makes a share certain or a score count backwards.
constexpr double kScaleMax = 4.0;
constexpr double kOffsetMax = 8.0;
// A correction is fitted again after this part of the outcomes so far, at first after few, and at last after
// so many.
constexpr double kRefitPart = 1.0 / 8.0;
constexpr double kRefitFirst = 16.0;
constexpr double kRefitLast = 256.0;
// Weight in outcomes of its starting point, the identity.
constexpr double kIdentityWeight = 8.0;

// Hope that makes no difference any more.
constexpr float kNoHope = 0.01f;

// Largest tree whose outcomes are learned from: more than any drafter proposes.
constexpr size_t kNodesMax = 512;

}  // namespace

int temperature_bucket(double temperature) {
  if (temperature < kGreedyTemperature) return 0;
  return temperature <= 0.5 ? 1 : temperature <= 0.85 ? 2 : 3;
}

std::string_view temperature_bucket_name(int bucket) {
  constexpr std::array<std::string_view, kTemperatureBuckets> kNames = {"0", "0-0.5", "0.5-0.85", "0.85+"};
  return kNames[static_cast<size_t>(bucket)];
}

void Reliability::add(double predicted, bool hit) {
  // Newer predictions weigh more instead of older ones less: the sums only ever matter in proportion.
  weight *= kGrowth;
  if (weight > kWeightMax) {
    for (Bin& bin : bins) {
      bin.count /= weight;
      bin.predicted /= weight;
      bin.hits /= weight;
      bin.variance /= weight * weight;
    }
    squared_error /= weight;
    weight = 1.0;
  }
  const auto index = std::min(static_cast<size_t>(predicted * kBins), static_cast<size_t>(kBins - 1));
  const double error = predicted - (hit ? 1.0 : 0.0);
  bins[index].count += weight;
  bins[index].predicted += weight * predicted;
  bins[index].hits += hit ? weight : 0.0;
  bins[index].variance += weight * weight * predicted * (1.0 - predicted);
  squared_error += weight * error * error;
}

double Reliability::total() const {
  double sum = 0.0;
  for (const Bin& bin : bins) sum += bin.count;
  return sum;
}

double Reliability::ece() const {
  double difference = 0.0;
  for (const Bin& bin : bins) difference += std::abs(bin.predicted - bin.hits);
  return difference / std::max(total(), 1e-9);
}

double Reliability::noise() const {
  // A sum of many outcomes is nearly normal, and E|x| = sqrt(2 / pi) sigma.
  double expected = 0.0;
  for (const Bin& bin : bins) expected += std::sqrt(2.0 * std::numbers::inv_pi * bin.variance);
  return expected / std::max(total(), 1e-9);
}

double Reliability::brier() const {
  return squared_error / std::max(total(), 1e-9);
}

double Reliability::auc() const {
  double hits = 0.0;
  double misses = 0.0;
  double ordered = 0.0;
  for (const Bin& bin : bins) {
    const double missed = bin.count - bin.hits;
    ordered += bin.hits * (misses + 0.5 * missed);
    hits += bin.hits;
    misses += missed;
  }
  return hits > 0.0 && misses > 0.0 ? ordered / (hits * misses) : 0.5;
}

void OnlineLogistic::start(draft::ShareParameters prior) {
  scale_ = prior.scale;
  offset_ = prior.offset;
  // A scale of 0 says that the score is not to be trusted, so it is learned more slowly.
  p00_ = kScaleSpread * kScaleSpread * (prior.scale == 0.0f ? 0.1 : 1.0);
  p01_ = 0.0;
  p11_ = kOffsetSpread * kOffsetSpread;
}

void OnlineLogistic::observe(float score, bool hit) {
  const auto x = static_cast<double>(draft::bounded_score(score));
  const double probability = 1.0 / (1.0 + std::exp(-(scale_ * x + offset_)));
  const double curvature = std::max(probability * (1.0 - probability), 0.01);
  // Recursive least squares in the parameters: P = (H + w x x')^-1 by the matrix inversion lemma.
  const double gain0 = p00_ * x + p01_;
  const double gain1 = p01_ * x + p11_;
  const double part = 1.0 / (1.0 / curvature + x * gain0 + gain1);
  p00_ -= gain0 * gain0 * part;
  p01_ -= gain0 * gain1 * part;
  p11_ -= gain1 * gain1 * part;
  const double error = (hit ? 1.0 : 0.0) - probability;
  scale_ = std::clamp(scale_ + (p00_ * x + p01_) * error, 0.0, kScaleMax);
  offset_ = std::clamp(offset_ + (p01_ * x + p11_) * error, -kOffsetMax, kOffsetMax);
  // Forgetting, bounded by what is believed of unknown parameters.
  constexpr double kForget = 1.0 / kFitKeep;
  p00_ = std::min(p00_ * kForget, kScaleSpread * kScaleSpread);
  p01_ = p01_ * kForget;
  p11_ = std::min(p11_ * kForget, kOffsetSpread * kOffsetSpread);
  if (p01_ * p01_ > p00_ * p11_) p01_ = std::copysign(std::sqrt(p00_ * p11_), p01_);
}

void Calibration::Correction::start() {
  count.fill(kIdentityWeight);
  for (size_t k = 0; k < kKnots; ++k) {
    const double middle = 0.5 * (kEdges[k] + kEdges[k + 1]) / kGrid;
    product[k] = kIdentityWeight * middle;
    hits[k] = kIdentityWeight * middle;
  }
  refit();
}

void Calibration::Correction::observe(float predicted, bool hit) {
  const size_t k = knot(predicted);
  count[k] = count[k] * kFitKeep + 1.0;
  product[k] = product[k] * kFitKeep + static_cast<double>(predicted);
  hits[k] = hits[k] * kFitKeep + (hit ? 1.0 : 0.0);
  observed = std::min(observed + 1.0, kRefitLast / kRefitPart);
  since_refit += 1.0;
  if (since_refit >= std::max(observed * kRefitPart, kRefitFirst)) refit();
}

void Calibration::Correction::refit() {
  since_refit = 0.0;
  // Isotonic regression by pooling neighbours that are out of order.
  std::array<double, kKnots> pool_count, pool_hits;
  std::array<size_t, kKnots> pool_size;
  size_t pools = 0;
  for (size_t k = 0; k < kKnots; ++k) {
    pool_count[pools] = count[k];
    pool_hits[pools] = hits[k];
    pool_size[pools] = 1;
    ++pools;
    while (pools > 1 &&
           pool_hits[pools - 2] * pool_count[pools - 1] >= pool_hits[pools - 1] * pool_count[pools - 2]) {
      pool_count[pools - 2] += pool_count[pools - 1];
      pool_hits[pools - 2] += pool_hits[pools - 1];
      pool_size[pools - 2] += pool_size[pools - 1];
      --pools;
    }
  }
  std::array<double, kKnots> x, y;
  for (size_t pool = 0, k = 0; pool < pools; ++pool)
    for (size_t i = 0; i < pool_size[pool]; ++i, ++k) {
      x[k] = product[k] / count[k];
      y[k] = pool_hits[pool] / pool_count[pool];
    }
  // Through the mean of its interval each line is right on average, whatever its slope; lines from one mean
  // to the next would be too low wherever they bend down, as near 1. The flatter of the slopes to both
  // neighbours ends no line above the next one (the "minmod" limiter of finite volume methods).
  // Before the first comes 0 at 0, behind the last 1 at 1; means may be as close to these as they like.
  const auto slope_between = [](double x0, double y0, double x1, double y1) {
    return (y1 - y0) / std::max(x1 - x0, 1e-9);
  };
  double before = slope_between(0.0, 0.0, x[0], y[0]);
  float end = 0.0f;  // of the line before, which rounding must not let this one begin below
  for (size_t k = 0; k < kKnots; ++k) {
    const double after =
        k + 1 < kKnots ? slope_between(x[k], y[k], x[k + 1], y[k + 1]) : slope_between(x[k], y[k], 1.0, 1.0);
    const double slope = std::min(before, after);
    Line& line = lines[k];
    line.begin = static_cast<float>(kEdges[k]) / kGrid;
    line.value = std::max(end, static_cast<float>(y[k] - slope * (x[k] - static_cast<double>(line.begin))));
    line.slope = static_cast<float>(slope);
    end = line.at(static_cast<float>(kEdges[k + 1]) / kGrid);
    before = after;
  }
}

Calibration::Calibration() : buckets_(kTemperatureBuckets) {
  for (size_t b = 0; b < buckets_.size(); ++b) {
    Bucket& bucket = buckets_[b];
    bucket.shares = draft::default_share_model(b == 0);
    for (int source = 0; source < draft::kDraftSources; ++source)
      for (int depth = 1; depth <= kDepths; ++depth)
        for (int rank = 0; rank < draft::kBranchMax; ++rank)
          bucket
              .logistic[static_cast<size_t>(source)][static_cast<size_t>(depth - 1)]
                       [static_cast<size_t>(rank)]
              .start(bucket.shares.row(static_cast<draft::DraftSource>(source), depth).at(rank));
    for (Correction& correction : bucket.correction) correction.start();
    bucket.refresh_hope();
  }
  passed_.reserve(kNodesMax);
  went_on_.reserve(kNodesMax + 1);
  verified_.reserve(kNodesMax);
}

const draft::ShareModel& Calibration::shares(double temperature) const {
  return buckets_[static_cast<size_t>(temperature_bucket(temperature))].shares;
}

void Calibration::correct(double temperature, std::span<const draft::DraftNode> nodes,
                          std::vector<float>& corrected) const {
  const Bucket& bucket = buckets_[static_cast<size_t>(temperature_bucket(temperature))];
  corrected.resize(nodes.size());
  float* const out = corrected.data();
  for (size_t i = 0; i < nodes.size(); ++i) {
    const draft::DraftNode& node = nodes[i];
    const size_t depth = std::min<size_t>(node.depth, kDepths) - 1;
    const float own = bucket.correction[depth].at(node.path_probability);
    out[i] = node.parent < 0 ? own : std::min(own, out[node.parent]);
  }
}

void Calibration::hope(double temperature, std::span<const draft::DraftNode> nodes,
                       std::span<const float> corrected, std::vector<float>& hoped) const {
  const Bucket& bucket = buckets_[static_cast<size_t>(temperature_bucket(temperature))];
  hoped.assign(corrected.begin(), corrected.end());
  size_t deepest = 0;
  for (const draft::DraftNode& node : nodes) deepest = std::max<size_t>(deepest, node.depth);
  if (std::min<size_t>(deepest, kDepths) <= bucket.hope_from) return;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const draft::DraftNode& node = nodes[i];
    if (node.source == draft::DraftSource::kModel && node.rank == 0)
      hoped[i] += (1.0f - hoped[i]) * bucket.hope[std::min<size_t>(node.depth, kDepths) - 1];
    if (node.parent >= 0) hoped[i] = std::min(hoped[i], hoped[static_cast<size_t>(node.parent)]);
  }
}

void Calibration::Bucket::refresh_hope() {
  hope_from = hope.size();
  for (size_t depth = hope.size(); depth-- > 0;) {
    const auto weight = static_cast<float>(kHopefulOutcomes / (outcomes[depth] + kHopefulOutcomes));
    hope[depth] = weight < kNoHope ? 0.0f : weight;
    if (hope[depth] > 0.0f) hope_from = depth;
  }
}

bool Calibration::learns_from(int64_t step, size_t tree, size_t trees) {
  return trees <= kFewTrees || (tree + static_cast<size_t>(step)) % (trees / kTreesPerStep) == 0;
}

void Calibration::observe(double temperature, std::span<const draft::DraftNode> nodes,
                          std::span<const float> corrected, std::span<const int32_t> verified,
                          std::span<const int32_t> emitted) {
  FT_CHECK(nodes.size() == corrected.size() && !emitted.empty(), nodes.size(), corrected.size());
  if (nodes.size() > kNodesMax) return;
  Bucket& bucket = buckets_[static_cast<size_t>(temperature_bucket(temperature))];
  passed_.resize(nodes.size());
  went_on_.assign(nodes.size() + 1, 0);
  verified_.assign(nodes.size(), 0);
  for (int32_t i : verified) verified_[static_cast<size_t>(i)] = 1;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const draft::DraftNode& node = nodes[i];
    const Passed parent = node.parent < 0 ? Passed::kYes : passed_[static_cast<size_t>(node.parent)];
    Passed passed = parent;
    // Behind the last emitted token nothing is known of a node that the path may still run through.
    if (parent == Passed::kYes)
      passed = node.depth > emitted.size()                                  ? Passed::kUnknown
               : emitted[static_cast<size_t>(node.depth) - 1] == node.token ? Passed::kYes
                                                                            : Passed::kNo;
    passed_[i] = passed;
    if (passed == Passed::kUnknown) continue;
    const bool hit = passed == Passed::kYes;
    const size_t depth = std::min<size_t>(node.depth, kDepths) - 1;
    // Behind a node that was not verified a hit could not be seen, so misses there must not count either.
    if (node.parent < 0 || verified_[static_cast<size_t>(node.parent)] != 0) {
      bucket.reliability[depth].add(static_cast<double>(corrected[i]), hit);
      bucket.correction[depth].observe(node.path_probability, hit);
    }
    if (parent != Passed::kYes) continue;
    // A share speaks of what is left by the siblings ranked before.
    uint8_t& went_on = went_on_[static_cast<size_t>(node.parent + 1)];
    if (went_on != 0) continue;
    went_on = hit ? 1 : 0;
    const size_t rank = std::min<size_t>(node.rank, draft::kBranchMax - 1);
    OnlineLogistic& logistic = bucket.logistic[static_cast<size_t>(node.source)][depth][rank];
    logistic.observe(node.score, hit);
    bucket.shares.row(node.source, node.depth).set(static_cast<int>(rank), logistic.parameters());
    if (rank == 0 && node.source == draft::DraftSource::kModel) bucket.outcomes[depth] += 1.0;
    if (rank == 1) {
      bucket.second_chances += 1.0;
      bucket.second_hits += hit ? 1.0 : 0.0;
    }
  }
  bucket.refresh_hope();
}

const Reliability& Calibration::reliability(int bucket, int depth) const {
  return buckets_[static_cast<size_t>(bucket)].reliability[static_cast<size_t>(depth - 1)];
}

void Calibration::restart_reliability(int bucket) {
  buckets_[static_cast<size_t>(bucket)].reliability.fill({});
}

double Calibration::second_choice_rate(int bucket) const {
  const Bucket& b = buckets_[static_cast<size_t>(bucket)];
  return b.second_chances > 0.0 ? b.second_hits / b.second_chances : 0.0;
}

template <class Self, class Visit>
void Calibration::visit_state(Self& self, Visit visit) {
  for (auto& bucket : self.buckets_) {
    for (auto& source : bucket.logistic)
      for (auto& depth : source)
        for (auto& logistic : depth) {
          visit(logistic.scale_);
          visit(logistic.offset_);
          visit(logistic.p00_);
          visit(logistic.p01_);
          visit(logistic.p11_);
        }
    for (auto& correction : bucket.correction) {
      visit(correction.observed);
      for (size_t k = 0; k < Correction::kKnots; ++k) {
        visit(correction.count[k]);
        visit(correction.product[k]);
        visit(correction.hits[k]);
      }
    }
    for (auto& outcomes : bucket.outcomes) visit(outcomes);
    visit(bucket.second_chances);
    visit(bucket.second_hits);
  }
}

std::vector<double> Calibration::save() {
  for (Bucket& bucket : buckets_)
    for (Correction& correction : bucket.correction) correction.refit();
  std::vector<double> saved;
  visit_state(*this, [&](double value) { saved.push_back(value); });
  return saved;
}

bool Calibration::restore(std::span<const double> saved) {
  size_t count = 0;
  visit_state(*this, [&](double) { ++count; });
  const bool finite =
      std::all_of(saved.begin(), saved.end(), [](double value) { return std::isfinite(value); });
  if (saved.size() != count || !finite) return false;
  const double* next = saved.data();
  visit_state(*this, [&](double& value) { value = *next++; });
  for (Bucket& bucket : buckets_) {
    for (size_t source = 0; source < bucket.logistic.size(); ++source)
      for (int depth = 1; depth <= kDepths; ++depth)
        for (int rank = 0; rank < draft::kBranchMax; ++rank)
          bucket.shares.row(static_cast<draft::DraftSource>(source), depth)
              .set(rank, bucket.logistic[source][static_cast<size_t>(depth - 1)][static_cast<size_t>(rank)]
                             .parameters());
    for (Correction& correction : bucket.correction) correction.refit();
    bucket.refresh_hope();
  }
  return true;
}

}  // namespace ft::scheduler
