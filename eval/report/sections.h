// What a report says of each kind of result.
#pragma once

#include "eval/report/document.h"
#include "eval/results/result_file.h"

namespace ft::eval {

// Each adds its tables and plots. May throw what nlohmann::json throws, for a file that lacks what its kind
// has.
void add_accept_section(const ResultFile& result, Document& document);
void add_load_section(const ResultFile& result, Document& document);
void add_quality_section(const ResultFile& result, Document& document);
void add_simulate_section(const ResultFile& result, Document& document);
void add_speedup_section(const ResultFile& result, Document& document);

// The interval at `json`: {"value", "low", "high"}.
PlotPoint point_at(double x, const Json& interval);
// "4.035 (3.900 to 4.170)", sorted by its value.
TableCell interval_cell(const Json& interval);

}  // namespace ft::eval
