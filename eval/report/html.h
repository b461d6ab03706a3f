// A document as one HTML file that needs nothing else: inline SVG, light and dark as the reader's system is,
// tables that sort by a click on a heading, and no request to any network.
#pragma once

#include <string>

#include "eval/report/document.h"

namespace ft::eval {

std::string html(const Document& document);

}  // namespace ft::eval
