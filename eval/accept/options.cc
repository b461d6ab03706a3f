#include "eval/accept/options.h"

namespace ft::eval {

namespace {

AcceptOptions quick() {
  AcceptOptions options;
  options.max_tokens = 64;
  const GridAxes trees = {.rows = {1, 2, 3, 4, 6, 8, 12, 16, 0},
                          .temperatures = {1.0},
                          .rules = {"coupled"},
                          .trees = {"best-first"}};
  const GridAxes chains = {.depths = {5}, .rows = {6}, .temperatures = {1.0}, .trees = {"chain"}};
  const GridAxes greedy = {.drafters = {"auto", "ngram"},
                           .rows = {6},
                           .temperatures = {0.0},
                           .rules = {"coupled"},
                           .trees = {"best-first"}};
  options.grids = {chains, trees, greedy};
  return options;
}

AcceptOptions paper() {
  AcceptOptions options;
  options.max_tokens = 2048;
  options.seeds = 5;
  options.grids = {
      {.depths = {5}, .rows = {6}, .temperatures = {1.0}, .rules = {"rejection"}, .trees = {"chain"}}};
  return options;
}

Json axes_json(const GridAxes& axes) {
  return {{"drafters", axes.drafters},         {"depths", axes.depths}, {"rows", axes.rows},
          {"temperatures", axes.temperatures}, {"rules", axes.rules},   {"trees", axes.trees},
          {"thinking", axes.thinking}};
}

}  // namespace

Result<AcceptOptions> accept_preset(const std::string& name) {
  if (name == "quick") return quick();
  if (name == "paper") return paper();
  return fail(ErrorCode::kInvalidArgument, "preset is \"{}\", expected quick or paper", name);
}

Json accept_configuration(const AcceptOptions& options) {
  Json grids = Json::array();
  for (const GridAxes& axes : options.grids) grids.push_back(axes_json(axes));
  return {{"prompts", options.prompts},
          {"grids", std::move(grids)},
          {"max_tokens", options.max_tokens},
          {"seeds", options.seeds},
          {"seed", options.seed},
          {"phases", options.phases},
          {"prompts_max", options.prompts_max},
          {"warm_up", options.warm_up},
          {"concurrency", options.concurrency},
          {"backend", options.session.backend},
          {"mode", options.session.mode},
          {"prefill_gemm", options.session.prefill_gemm},
          {"threads", options.session.cpu.threads},
          {"cpu_target", options.session.cpu.target},
          {"url", options.url},
          {"model", options.model}};
}

}  // namespace ft::eval
