// A document as Markdown, and its tables as CSV.
#pragma once

#include <string>

#include "eval/report/document.h"

namespace ft::eval {

// Headings, text and tables. Plots are left to the HTML form, which has the figures that they show in tables,
// too.
std::string markdown(const Document& document);

// "table,row,column,value": one line per cell of every table, the row named by its cells without numbers.
// Numbers are exact, not as they are shown.
std::string csv(const Document& document);

}  // namespace ft::eval
