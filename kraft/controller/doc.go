// Package controller takes the decisions of the active controller.
package controller
