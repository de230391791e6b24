// SPDX-License-Identifier: GPL-2.0-or-later
//
// Draws a journey, wherever it came from: a table for the terminal, a sequence diagram for the pages. Pure.
#pragma once

#include <string>

#include "src/lab/journey.h"
#include "src/lab/paint.h"

namespace mb::lab {

// One line per stop with source and destination; what changed since the stop before stands in brackets, with the chain that
// changed it.
std::string draw_table(const Journey& journey, Language language, const Paint& paint = {});

// A sequence diagram in the words of mermaid: one arrow per link, a note where an address changes.
std::string draw_mermaid(const Journey& journey, Language language);

}  // namespace mb::lab
