# Runs PROGRAM, which has a planted bug, and fails unless a check of the simulator catches it (exit code 1, and its words).
execute_process(COMMAND ${PROGRAM} --seeds 50 RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE err)
if(NOT code EQUAL 1 OR NOT out MATCHES "FAILED: s->runs == 1")
  message(FATAL_ERROR "the canary lives: exit ${code}\n${out}${err}")
endif()
message("the planted bug was caught:\n${out}")
