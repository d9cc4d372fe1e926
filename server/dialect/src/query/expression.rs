//! Expressions: every kind the parser can make is named here, so that nothing of another dialect slips through.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DateTimeField, DuplicateTreatment, Expr,
    ExtractSyntax, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    LambdaFunction, LambdaSyntax, ListAggOnOverflow, ObjectNamePart, OneOrManyWithParens, Spanned, Subscript,
    UnaryOperator, Value, WindowFrameBound, WindowSpec, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::literal::{binary_operator, interval_literal, literal, refused, typed_literal};
use super::rewrite::{Outcome, Rewriter, lower, not_supported, syntax};
use crate::ddl::shown;

impl Rewriter<'_> {
    pub(super) fn expr(&mut self, expr: &mut Expr) -> Outcome {
        self.level(|this| this.expr_at(expr))
    }

    /// A value of a list: plain literals are not worth a level.
    pub(super) fn list_item(&mut self, expr: &mut Expr) -> Outcome {
        match expr {
            Expr::Value(value) => literal(&mut value.value, value.span),
            other => self.expr(other),
        }
    }

    fn exprs<'e>(&mut self, exprs: impl IntoIterator<Item = &'e mut Expr>) -> Outcome {
        exprs.into_iter().try_for_each(|expr| self.expr(expr))
    }

    fn expr_at(&mut self, expr: &mut Expr) -> Outcome {
        match expr {
            Expr::Identifier(ident) => {
                if ident.quote_style == Some('\'') {
                    return Err(syntax("mismatched input, expecting a name", ident.span));
                }
                lower(ident);
                Ok(())
            }
            Expr::CompoundIdentifier(parts) => {
                parts.iter_mut().for_each(lower);
                Ok(())
            }
            Expr::Value(value) => literal(&mut value.value, value.span),
            Expr::TypedString(typed) => typed_literal(&typed.data_type, typed.value.span),
            Expr::Interval(interval) => interval_literal(interval),
            Expr::BinaryOp {
                op: BinaryOperator::And | BinaryOperator::Or,
                ..
            } => self.conditions(expr),
            Expr::BinaryOp { left, op, right } => {
                binary_operator(op, right.span())?;
                self.expr(left)?;
                self.expr(right)
            }
            Expr::UnaryOp {
                op: UnaryOperator::Plus | UnaryOperator::Minus | UnaryOperator::Not,
                expr,
            }
            | Expr::Nested(expr) => self.expr(expr),
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => {
                self.exprs(operand.as_deref_mut())?;
                for when in conditions {
                    self.exprs([&mut when.condition, &mut when.result])?;
                }
                self.exprs(else_result.as_deref_mut())
            }
            Expr::Cast {
                kind: CastKind::Cast | CastKind::TryCast,
                expr,
                array: false,
                format: None,
                data_type: _,
            } => self.expr(expr),
            Expr::Subquery(subquery) => self.query(subquery),
            Expr::Lambda(lambda) => self.lambda(lambda),
            Expr::Function(function) => self.function(function),
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.expr(root)?;
                access_chain.iter_mut().try_for_each(|access| self.access(access))
            }
            Expr::Array(array) if array.named => {
                array.elem.iter_mut().try_for_each(|item| self.list_item(item))
            }
            Expr::Extract { .. }
            | Expr::Ceil { .. }
            | Expr::Floor { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. } => self.call_with_words(expr),
            other => self.predicate(other),
        }
    }

    /// IS, BETWEEN, LIKE, IN, EXISTS, ANY and ALL; anything else is not Trino's.
    fn predicate(&mut self, expr: &mut Expr) -> Outcome {
        match expr {
            Expr::IsNull(expr) | Expr::IsNotNull(expr) => self.expr(expr),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                self.exprs([&mut **left, &mut **right])
            }
            Expr::Between {
                expr,
                low,
                high,
                negated: _,
            } => self.exprs([&mut **expr, &mut **low, &mut **high]),
            Expr::Like {
                negated: _,
                any: false,
                expr,
                pattern,
                escape_char,
            } => {
                if escape_char
                    .as_ref()
                    .is_some_and(|c| !matches!(c.value, Value::SingleQuotedString(_)))
                {
                    return Err(syntax("ESCAPE takes a character in quotes", pattern.span()));
                }
                self.exprs([&mut **expr, &mut **pattern])
            }
            Expr::InList {
                expr,
                list,
                negated: _,
            } => {
                self.expr(expr)?;
                list.iter_mut().try_for_each(|item| self.list_item(item))
            }
            Expr::InSubquery {
                expr,
                subquery,
                negated: _,
            } => {
                self.expr(expr)?;
                self.query(subquery)
            }
            Expr::Exists { subquery, negated: _ } => self.query(subquery),
            Expr::AnyOp {
                left,
                compare_op,
                right,
                is_some: _,
            }
            | Expr::AllOp {
                left,
                compare_op,
                right,
            } => {
                binary_operator(compare_op, right.span())?;
                if !matches!(**right, Expr::Subquery(_)) {
                    return Err(syntax("ANY and ALL take a query", right.span())
                        .with_hint("Write contains(array, value) or any_match(array, x -> ...)."));
                }
                self.exprs([&mut **left, &mut **right])
            }
            other => Err(refused(other)),
        }
    }

    /// Calls whose arguments are set apart by words: `EXTRACT(DAY FROM x)`.
    fn call_with_words(&mut self, expr: &mut Expr) -> Outcome {
        match expr {
            Expr::Extract {
                syntax: ExtractSyntax::From,
                expr,
                field: _,
            }
            | Expr::Ceil {
                expr,
                field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime),
            }
            | Expr::Floor {
                expr,
                field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime),
            } => self.expr(expr),
            Expr::Position { expr, r#in } => self.exprs([&mut **expr, &mut **r#in]),
            Expr::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => {
                self.expr(expr)?;
                self.exprs(substring_from.as_deref_mut())?;
                self.exprs(substring_for.as_deref_mut())
            }
            Expr::Trim {
                trim_what,
                expr,
                trim_characters: None,
                trim_where: _,
            } => {
                self.exprs(trim_what.as_deref_mut())?;
                self.expr(expr)
            }
            other => Err(refused(other)),
        }
    }

    /// A chain of ANDs (or of ORs) becomes a balanced tree: same order, same answer, a depth that nobody minds.
    fn conditions(&mut self, expr: &mut Expr) -> Outcome {
        let Expr::BinaryOp { op, .. } = expr else {
            return Ok(());
        };
        let op = op.clone();
        let mut operands = Vec::new();
        let mut waiting = vec![std::mem::replace(expr, nothing())];
        while let Some(next) = waiting.pop() {
            match next {
                Expr::BinaryOp {
                    left,
                    op: inner,
                    right,
                } if inner == op => {
                    waiting.push(*right);
                    waiting.push(*left);
                }
                other => operands.push(other),
            }
        }
        self.exprs(operands.iter_mut())?;
        *expr = balanced(&op, operands);
        Ok(())
    }

    fn function(&mut self, function: &mut Function) -> Outcome {
        let span = function.name.span();
        let [ObjectNamePart::Identifier(name)] = function.name.0.as_mut_slice() else {
            return Err(syntax(
                format!(
                    "Function '{}' not registered",
                    shown(&function.name.to_string().to_lowercase())
                ),
                span,
            ));
        };
        lower(name);
        if name.value == "unnest" {
            return Err(syntax("unnest stands in FROM only", span)
                .with_hint("Write FROM t CROSS JOIN UNNEST(t.array) AS u (x)."));
        }
        if function.uses_odbc_syntax || function.parameters != FunctionArguments::None {
            return Err(syntax("mismatched input '('", span));
        }
        match &mut function.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(query) => {
                return Err(syntax("mismatched input 'SELECT'", query.span()));
            }
            FunctionArguments::List(list) => {
                if list.duplicate_treatment == Some(DuplicateTreatment::All) {
                    list.duplicate_treatment = None;
                }
                for argument in &mut list.args {
                    match argument {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.expr(expr)?,
                        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name.value == "count" => {}
                        FunctionArg::Unnamed(_) => return Err(syntax("mismatched input '*'", span)),
                        FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => {
                            return Err(syntax("arguments are given by position", span));
                        }
                    }
                }
                for clause in &mut list.clauses {
                    self.argument_clause(clause, span)?;
                }
                // ON OVERFLOW ERROR is what happens anyway.
                list.clauses
                    .retain(|clause| !matches!(clause, FunctionArgumentClause::OnOverflow(_)));
            }
        }
        self.exprs(function.filter.as_deref_mut())?;
        self.sort_keys(&mut function.within_group)?;
        match &mut function.over {
            Some(WindowType::WindowSpec(spec)) => self.window(spec),
            Some(WindowType::NamedWindow(name)) => {
                lower(name);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn argument_clause(&mut self, clause: &mut FunctionArgumentClause, span: Span) -> Outcome {
        match clause {
            FunctionArgumentClause::OrderBy(keys) => self.sort_keys(keys),
            FunctionArgumentClause::IgnoreOrRespectNulls(_)
            | FunctionArgumentClause::OnOverflow(ListAggOnOverflow::Error) => Ok(()),
            FunctionArgumentClause::OnOverflow(ListAggOnOverflow::Truncate { .. }) => {
                Err(not_supported("ON OVERFLOW TRUNCATE", span))
            }
            FunctionArgumentClause::JsonNullClause(_) | FunctionArgumentClause::JsonReturningClause(_) => {
                Err(not_supported("a clause of a JSON function", span))
            }
            FunctionArgumentClause::Limit(_)
            | FunctionArgumentClause::Having(_)
            | FunctionArgumentClause::Separator(_) => Err(syntax("mismatched input in the arguments", span)),
        }
    }

    pub(super) fn window(&mut self, spec: &mut WindowSpec) -> Outcome {
        if let Some(name) = &mut spec.window_name {
            lower(name);
        }
        self.exprs(spec.partition_by.iter_mut())?;
        self.sort_keys(&mut spec.order_by)?;
        let Some(frame) = &mut spec.window_frame else {
            return Ok(());
        };
        for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()]
            .into_iter()
            .flatten()
        {
            if let WindowFrameBound::Preceding(Some(expr)) | WindowFrameBound::Following(Some(expr)) = bound {
                self.expr(expr)?;
            }
        }
        Ok(())
    }

    fn lambda(&mut self, lambda: &mut LambdaFunction) -> Outcome {
        if lambda.syntax != LambdaSyntax::Arrow {
            return Err(
                syntax("mismatched input 'lambda'", lambda.body.span()).with_hint("Write x -> expression.")
            );
        }
        let parameters = match &mut lambda.params {
            OneOrManyWithParens::One(parameter) => std::slice::from_mut(parameter),
            OneOrManyWithParens::Many(parameters) => parameters.as_mut_slice(),
        };
        for parameter in parameters {
            if parameter.data_type.is_some() {
                return Err(syntax("a lambda's parameter has no type", parameter.name.span));
            }
            lower(&mut parameter.name);
        }
        self.expr(&mut lambda.body)
    }

    fn access(&mut self, access: &mut AccessExpr) -> Outcome {
        match access {
            AccessExpr::Dot(Expr::Identifier(field)) if field.quote_style != Some('\'') => {
                lower(field);
                Ok(())
            }
            AccessExpr::Dot(other) => Err(syntax("expected a field name after '.'", other.span())),
            AccessExpr::Subscript(Subscript::Index { index }) => self.expr(index),
            AccessExpr::Subscript(Subscript::Slice { .. }) => {
                Err(syntax("mismatched input ':'", Span::empty())
                    .with_hint("Write slice(array, start, length)."))
            }
        }
    }
}

fn nothing() -> Expr {
    Expr::value(Value::Null)
}

/// Halves again and again; at most as deep as the logarithm of the length.
fn balanced(op: &BinaryOperator, mut operands: Vec<Expr>) -> Expr {
    if operands.len() < 2 {
        return operands.pop().unwrap_or_else(nothing);
    }
    let right = operands.split_off(operands.len().div_ceil(2));
    Expr::BinaryOp {
        left: Box::new(balanced(op, operands)),
        op: op.clone(),
        right: Box::new(balanced(op, right)),
    }
}
