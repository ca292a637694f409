# The project's own build words.

# chi_library(NAME [LIBS...]): a static library of every .c file of the current folder.
function(chi_library name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  if(NOT sources)
    add_library(chi_${name} INTERFACE)
    return()
  endif()
  add_library(chi_${name} STATIC ${sources})
  target_include_directories(chi_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/dataplane ${PROJECT_SOURCE_DIR})
  target_link_libraries(chi_${name} PUBLIC ${ARGN})
endfunction()

# chi_chimod(NAME [LIBS...]): a module of every .c file of the current folder, as lib/chimods/NAME.so.
function(chi_chimod name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  if(NOT sources)
    return()
  endif()
  add_library(chimod_${name} MODULE ${sources})
  set_target_properties(chimod_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/chimods)
  target_include_directories(chimod_${name} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/dataplane ${PROJECT_SOURCE_DIR})
  target_link_libraries(chimod_${name} PRIVATE ${ARGN})
endfunction()

# chi_test(NAME LABEL SOURCE [LIBS...]): a cmocka program, run by ctest with that label.
function(chi_test name label source)
  add_executable(${name} ${source})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARGN} chi_test_support PkgConfig::CMOCKA)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT 120)
endfunction()
