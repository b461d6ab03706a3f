#include "eval/simulate/studies.h"

#include <algorithm>
#include <array>

namespace ft::eval {

namespace {

// V4-Flash (dspark.md 1.8, 1.10): routed layers, experts, per token; one expert is 13.4 MB.
constexpr double kLayers = 43.0, kExperts = 256.0, kPerToken = 6.0;
constexpr double kExpertBytes = 13.4e6;
// 13 billion active weights less the routed ones: attention, shared experts, head.
constexpr double kDenseBytes = 6.7e9;
constexpr int kBlock = 5;
constexpr double kDraftStages = 3.0;

// Users per device of the curves.
constexpr std::array<int32_t, 8> kUsersPerDevice = {2, 6, 12, 25, 50, 100, 150, 200};

std::vector<DepthRates> depths(double first, double later, const PaperInputs& inputs, int count) {
  std::vector<DepthRates> rates;
  for (int depth = 0; depth < count; ++depth)
    rates.push_back({depth == 0 ? first : later, inputs.second, inputs.third});
  return rates;
}

Json point_json(StudyArm arm, int32_t users, const ClosedLoopFigures& figures, int32_t ranks) {
  return {{"arm", study_arm_name(arm)},
          {"point", users},
          {"users_per_device", static_cast<double>(users) / ranks},
          {"tokens_per_s_device", figures.tokens_per_second / ranks},
          {"tokens_per_s_user", figures.per_user},
          {"rows_per_request", figures.rows_per_request},
          {"accepted_length", figures.accepted_length},
          {"step_ms", 1e3 * figures.step_seconds},
          {"drafting", figures.drafting}};
}

// One arm over all numbers of users.
std::vector<FrontierPoint> run_arm(const PaperInputs& inputs, StudyArm arm, const StudyOptions& options,
                                   Json& rows, const std::function<void(double)>& advance) {
  const Deployment deployment = paper_deployment(inputs, arm);
  std::vector<FrontierPoint> frontier;
  for (size_t i = 0; i < kUsersPerDevice.size(); ++i) {
    ClosedLoop loop;
    loop.users = kUsersPerDevice[i] * inputs.ranks;
    loop.steps = options.steps;
    const ClosedLoopFigures figures = run_closed_loop(deployment, loop, options.seed);
    rows.push_back(point_json(arm, loop.users, figures, inputs.ranks));
    frontier.push_back({figures.tokens_per_second / inputs.ranks, figures.per_user});
    advance(static_cast<double>(i + 1) / static_cast<double>(kUsersPerDevice.size()));
  }
  return frontier;
}

Json gains_json(const std::vector<MatchedGain>& gains) {
  Json list = Json::array();
  for (const MatchedGain& gain : gains)
    list.push_back({{"tokens_per_s_device", gain.baseline.throughput},
                    {"baseline_per_user", gain.baseline.per_user},
                    {"per_user", gain.per_user},
                    {"gain", gain.gain}});
  return list;
}

struct Variant {
  const char* name;
  void (*change)(PaperInputs& inputs, double factor);
  double low, high;
};

constexpr Variant kVariants[] = {
    {"acceptance at every depth",
     [](PaperInputs& inputs, double factor) {
       for (double* rate : {&inputs.code_first, &inputs.code_later, &inputs.chat_first, &inputs.chat_later})
         *rate = std::min(0.99, *rate * factor);
     },
     0.9, 1.1},
    {"share of code", [](PaperInputs& inputs, double factor) { inputs.code_share *= factor; }, 0.5, 1.5},
    {"time of a row", [](PaperInputs& inputs, double factor) { inputs.row_seconds *= factor; }, 0.8, 1.25},
    {"floor of a step", [](PaperInputs& inputs, double factor) { inputs.floor_seconds *= factor; }, 0.5, 1.5},
    {"memory bandwidth", [](PaperInputs& inputs, double factor) { inputs.bytes_per_second *= factor; }, 0.5,
     2.0},
    {"overlap of experts", [](PaperInputs& inputs, double factor) { inputs.overlap *= factor; }, 0.5, 1.5},
    {"what the draft knows (spread)", [](PaperInputs& inputs, double factor) { inputs.spread *= factor; },
     0.01, 1.5},
};

double gain_of(const PaperInputs& inputs, const StudyOptions& options) {
  Json rows = Json::array();
  const auto mtp = run_arm(inputs, StudyArm::kMtp, options, rows, [](double) {});
  const auto dspark = run_arm(inputs, StudyArm::kDspark, options, rows, [](double) {});
  // Where MTP-1 gives a user 80 tokens per second: the paper's first point.
  return gain_at_speed(matched_gains(mtp, dspark), 80.0);
}

void run_sensitivity(const StudyOptions& options, ResultFile& result,
                     const std::function<void(const std::string&, double)>& advance) {
  const double stated = gain_of(PaperInputs{}, options);
  result.figures["stated_gain"] = stated;
  result.figures["arms"] = Json::array();
  result.figures["sensitivity"] = Json::array();
  double done = 0.0;
  for (const Variant& variant : kVariants) {
    Json row = {{"arm", "dspark over mtp"}, {"point", variant.name}};
    for (const auto& [side, factor] : {std::pair("low", variant.low), std::pair("high", variant.high)}) {
      PaperInputs inputs;
      variant.change(inputs, factor);
      row[std::string(side) + "_factor"] = factor;
      row[std::string(side) + "_gain"] = gain_of(inputs, options);
    }
    result.rows.push_back(row);
    result.figures["sensitivity"].push_back(row);
    advance(variant.name, ++done / static_cast<double>(std::size(kVariants)));
  }
}

std::vector<StudyArm> arms_of(const std::string& preset) {
  if (preset == "frontier") return {StudyArm::kPlain, StudyArm::kMtp, StudyArm::kDspark};
  if (preset == "budget") return {StudyArm::kMtp, StudyArm::kDspark};
  return {StudyArm::kDspark, StudyArm::kTree, StudyArm::kTreeBlind};
}

}  // namespace

const char* study_arm_name(StudyArm arm) {
  switch (arm) {
    case StudyArm::kPlain:
      return "no speculation";
    case StudyArm::kMtp:
      return "MTP-1, always 2 rows";
    case StudyArm::kDspark:
      return "DSpark, adaptive chain";
    case StudyArm::kTree:
      return "DSpark, adaptive tree";
    case StudyArm::kTreeBlind:
      return "DSpark, adaptive tree, experts not priced";
  }
  return "";
}

Result<StudyArm> parse_study_arm(const std::string& name) {
  for (const auto& [known, arm] :
       {std::pair("plain", StudyArm::kPlain), std::pair("mtp", StudyArm::kMtp),
        std::pair("dspark", StudyArm::kDspark), std::pair("tree", StudyArm::kTree)})
    if (name == known) return arm;
  return fail(ErrorCode::kInvalidArgument, "stated is \"{}\", expected plain, mtp, dspark or tree", name);
}

Json inputs_json(const PaperInputs& inputs) {
  return {{"model", "V4-Flash"},
          {"ranks", inputs.ranks},
          {"bytes_per_second", inputs.bytes_per_second},
          {"row_seconds", inputs.row_seconds},
          {"floor_seconds", inputs.floor_seconds},
          {"head_seconds", inputs.head_seconds},
          {"overlap", inputs.overlap},
          {"spread", inputs.spread},
          {"code", {inputs.code_first, inputs.code_later}},
          {"chat", {inputs.chat_first, inputs.chat_later}},
          {"code_share", inputs.code_share},
          {"second", inputs.second},
          {"third", inputs.third}};
}

Deployment paper_deployment(const PaperInputs& inputs, StudyArm arm) {
  const double devices = inputs.ranks;
  Ceilings hardware;
  hardware.floor_seconds = inputs.floor_seconds;
  hardware.bytes_per_second = inputs.bytes_per_second * devices;
  hardware.operations_per_second = devices / inputs.row_seconds;  // an operation here is a row's
  ModelSizes sizes;
  sizes.dense_bytes = kDenseBytes;
  sizes.expert_bytes = kExpertBytes;
  sizes.row_operations = 1.0;
  sizes.layers = kLayers;
  const bool mtp = arm == StudyArm::kMtp;
  const bool plain = arm == StudyArm::kPlain;
  const int depth = plain ? 0 : mtp ? 1 : kBlock;
  sizes.draft_layers = plain ? 0.0 : mtp ? 1.0 : kDraftStages;
  sizes.draft_rows = depth;
  hardware.head_seconds = inputs.head_seconds;
  const int rated = std::max(1, depth);
  AcceptanceSource acceptance(
      {{"code", inputs.code_share, depths(inputs.code_first, inputs.code_later, inputs, rated)},
       {"chat", 1.0 - inputs.code_share, depths(inputs.chat_first, inputs.chat_later, inputs, rated)}},
      inputs.spread);
  VirtualModel model;
  model.name = "V4-Flash";
  model.experts = {kLayers, kExperts, kPerToken, inputs.overlap};
  model.depth = {depth, depth};
  ReplicaOptions replica;
  replica.tree_nodes = plain ? 1 : mtp ? 2 : 0;
  replica.tree_nodes_max = arm == StudyArm::kDspark ? kBlock + 1 : 2 * (kBlock + 1);
  replica.shape = arm == StudyArm::kTree || arm == StudyArm::kTreeBlind ? draft::TreeShape::kBestFirst
                                                                        : draft::TreeShape::kChain;
  replica.blind_to_experts = arm == StudyArm::kTreeBlind;
  return {model, ceiling_costs(hardware, sizes), std::move(acceptance), replica, 1};
}

std::vector<MatchedGain> matched_gains(const std::vector<FrontierPoint>& baseline,
                                       const std::vector<FrontierPoint>& arm) {
  std::vector<MatchedGain> gains;
  for (const FrontierPoint& point : baseline)
    for (size_t i = 1; i < arm.size(); ++i) {
      const FrontierPoint& a = arm[i - 1];
      const FrontierPoint& b = arm[i];
      if (point.throughput < a.throughput || point.throughput > b.throughput || b.throughput == a.throughput)
        continue;
      const double share = (point.throughput - a.throughput) / (b.throughput - a.throughput);
      const double per_user = a.per_user + share * (b.per_user - a.per_user);
      gains.push_back({point, per_user, per_user / point.per_user - 1.0});
      break;
    }
  return gains;
}

double gain_at_speed(const std::vector<MatchedGain>& gains, double per_user) {
  for (size_t i = 1; i < gains.size(); ++i) {
    // Speed falls as throughput rises.
    const MatchedGain& a = gains[i - 1];
    const MatchedGain& b = gains[i];
    if (per_user > a.baseline.per_user || per_user < b.baseline.per_user) continue;
    const double share = (a.baseline.per_user - per_user) / (a.baseline.per_user - b.baseline.per_user);
    return a.gain + share * (b.gain - a.gain);
  }
  if (gains.empty()) return 0.0;
  return per_user > gains.front().baseline.per_user ? gains.front().gain : gains.back().gain;
}

Result<ResultFile> run_study(const StudyOptions& options,
                             const std::function<void(const std::string&, double)>& advance) {
  static constexpr std::array<std::string_view, 4> kPresets = {"frontier", "budget", "trees", "sensitivity"};
  if (std::ranges::find(kPresets, options.preset) == kPresets.end())
    return fail(ErrorCode::kInvalidArgument,
                "preset is \"{}\", expected frontier, budget, trees or sensitivity", options.preset);
  ResultFile result;
  result.kind = "simulate";
  result.seeds = {options.seed};
  result.configuration = {{"preset", options.preset}, {"steps", options.steps}, {"inputs", inputs_json({})}};
  if (options.preset == "sensitivity") {
    run_sensitivity(options, result, advance);
    return result;
  }
  const std::vector<StudyArm> arms = arms_of(options.preset);
  result.figures["arms"] = Json::array();
  result.figures["matched"] = Json::array();
  std::vector<std::vector<FrontierPoint>> frontiers;
  for (size_t i = 0; i < arms.size(); ++i) {
    Json rows = Json::array();
    frontiers.push_back(run_arm({}, arms[i], options, rows, [&](double done) {
      advance(study_arm_name(arms[i]), (static_cast<double>(i) + done) / static_cast<double>(arms.size()));
    }));
    result.figures["arms"].push_back({{"name", study_arm_name(arms[i])}, {"points", rows}});
    for (Json& row : rows) result.rows.push_back(std::move(row));
  }
  for (size_t i = 0; i < arms.size(); ++i)
    for (size_t k = i + 1; k < arms.size(); ++k)
      result.figures["matched"].push_back(
          {{"arm", study_arm_name(arms[k])},
           {"baseline", study_arm_name(arms[i])},
           {"points", gains_json(matched_gains(frontiers[i], frontiers[k]))}});
  return result;
}

}  // namespace ft::eval
