#include "eval/accept_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "eval/report.h"

namespace ft::eval {

namespace {

using Json = Report::Json;

}  // namespace

std::string accept_markdown(const AcceptReport& report) {
  std::string out = fmt::format(
      "Mean accepted length per verify step, bonus token included, with 95 % intervals (paired bootstrap "
      "over "
      "prompts); drafter {}. Ratios are to \"{}\" at the same temperature.\n\n"
      "| domain | T | arm | requests | steps | by request | by step | rows | ratio by request | ratio by "
      "step "
      "|\n|---|---|---|---|---|---|---|---|---|---|\n",
      report.drafter, report.baseline);
  for (const AcceptLine& line : report.lines)
    out += fmt::format(
        "| {} | {} | {} | {} | {} | {} | {} | {:.2f} | {} | {} |\n", line.domain, line.temperature, line.arm,
        line.figures.requests, line.figures.steps, interval_text(line.figures.request_weighted),
        interval_text(line.figures.token_weighted), line.figures.rows_per_step,
        interval_text(line.to_baseline.request_weighted), interval_text(line.to_baseline.token_weighted));
  out +=
      "\nAcceptance per depth, all domains: of all steps (unconditional) / of the steps that accepted the "
      "depth before (conditional).\n\n| T | arm | depths |\n|---|---|---|\n";
  for (const AcceptLine& line : report.lines) {
    if (line.domain != "all") continue;
    out += fmt::format("| {} | {} |", line.temperature, line.arm);
    for (size_t d = 0; d < line.figures.unconditional.size(); ++d)
      out += fmt::format(" {:.3f}/{:.3f}", line.figures.unconditional[d], line.figures.conditional[d]);
    out += " |\n";
  }
  if (report.calibration.empty()) return out;
  out +=
      "\nCalibrated path probabilities, counted after so many steps from a cold start. Noise is the ECE to "
      "expect of as many predictions that are right; s2 the chance of the second choice where the first is "
      "wrong.\n\n| arm | temperatures | depth | after steps | predictions | ECE | noise | Brier | AUC | s2 "
      "|\n"
      "|---|---|---|---|---|---|---|---|---|---|\n";
  for (const CalibrationLine& line : report.calibration)
    out += fmt::format("| {} | {} | {} | {} | {:.0f} | {:.2f} % | {:.2f} % | {:.4f} | {:.3f} | {:.3f} |\n",
                       line.arm, line.temperatures, line.depth, line.after_steps, line.predictions,
                       100.0 * line.ece, 100.0 * line.noise, line.brier, line.auc, line.second_choice_rate);
  return out;
}

std::string accept_json(const AcceptReport& report) {
  Json out;
  out["drafter"] = report.drafter;
  out["baseline"] = report.baseline;
  out["lines"] = Json::array();
  for (const AcceptLine& line : report.lines)
    out["lines"].push_back(
        {{"domain", line.domain},
         {"temperature", line.temperature},
         {"arm", line.arm},
         {"requests", line.figures.requests},
         {"steps", line.figures.steps},
         {"mean_accepted_length_request_weighted", interval_json(line.figures.request_weighted)},
         {"mean_accepted_length_token_weighted", interval_json(line.figures.token_weighted)},
         {"rows_per_step", line.figures.rows_per_step},
         {"acceptance_per_depth_unconditional", line.figures.unconditional},
         {"acceptance_per_depth_conditional", line.figures.conditional},
         {"ratio_request_weighted", interval_json(line.to_baseline.request_weighted)},
         {"ratio_token_weighted", interval_json(line.to_baseline.token_weighted)}});
  out["calibration"] = Json::array();
  for (const CalibrationLine& line : report.calibration)
    out["calibration"].push_back({{"arm", line.arm},
                                  {"temperatures", line.temperatures},
                                  {"depth", line.depth},
                                  {"after_steps", line.after_steps},
                                  {"predictions", line.predictions},
                                  {"ece", line.ece},
                                  {"noise", line.noise},
                                  {"brier", line.brier},
                                  {"auc", line.auc},
                                  {"s2", line.second_choice_rate}});
  return out.dump(2) + "\n";
}

std::string accept_csv(const AcceptReport& report) {
  std::string out =
      "domain,temperature,arm,requests,steps,length_request,length_request_low,length_request_high,"
      "length_token,length_token_low,length_token_high,rows_per_step,ratio_request,ratio_request_low,"
      "ratio_request_high,ratio_token,ratio_token_low,ratio_token_high\n";
  for (const AcceptLine& line : report.lines) {
    out += fmt::format("{},{},{},{},{}", line.domain, line.temperature, line.arm, line.figures.requests,
                       line.figures.steps);
    const auto add = [&](const Interval& interval) {
      out += fmt::format(",{:.6f},{:.6f},{:.6f}", interval.value, interval.low, interval.high);
    };
    add(line.figures.request_weighted);
    add(line.figures.token_weighted);
    out += fmt::format(",{:.6f}", line.figures.rows_per_step);
    add(line.to_baseline.request_weighted);
    add(line.to_baseline.token_weighted);
    out += '\n';
  }
  return out;
}

}  // namespace ft::eval
