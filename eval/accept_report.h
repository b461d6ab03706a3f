// The figures of an acceptance experiment as Markdown, JSON and CSV.
#pragma once

#include <string>
#include <vector>

#include "eval/accept_figures.h"

namespace ft::eval {

struct AcceptLine {
  std::string domain;  // "all" or one of the prompts' domains
  double temperature = 0.0;
  std::string arm;
  AcceptFigures figures;
  LengthRatio to_baseline;  // over the first arm at the same temperature
};

// How well path probabilities were predicted; a prediction counts before it is learned from.
struct CalibrationLine {
  std::string arm;
  std::string temperatures;  // the bucket
  int depth = 0;
  int64_t after_steps = 0;   // from a cold start, before predictions were counted
  double predictions = 0.0;  // counted with the weight that forgetting has left them
  double ece = 0.0;
  double noise = 0.0;  // the ECE that perfect predictions would show on as many steps
  double brier = 0.0;
  double auc = 0.0;
  double second_choice_rate = 0.0;  // of the bucket: dspark.md 6.1, "s2"
};

struct AcceptReport {
  std::string drafter;
  std::string baseline;  // name of the first arm
  std::vector<AcceptLine> lines;
  std::vector<CalibrationLine> calibration;
};

std::string accept_markdown(const AcceptReport& report);
std::string accept_json(const AcceptReport& report);
std::string accept_csv(const AcceptReport& report);

}  // namespace ft::eval
