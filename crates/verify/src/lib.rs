//! The eight steps: gather evidence, judge it, report
